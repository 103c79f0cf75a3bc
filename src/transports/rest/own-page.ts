import { BlockList, isIP } from 'node:net';
import type { Request } from 'express';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/** Of an address to listen on; a name is none. */
export function isLoopback(address: string): boolean {
  const version = isIP(address);
  return version !== 0 && loopback.check(address, version === 6 ? 'ipv6' : 'ipv4');
}

/** Whatever says that somebody else stands between the browser and us. */
const forwarding =
  /^(forwarded|via|x-forwarded(-.*)?|x-real-ip|x-client-ip|x-cluster-client-ip|x-originating-ip|x-original-(host|url)|true-client-ip|(cf|fastly|do)-.*|x-envoy-.*|x-amz.*)$/;

/**
 * A browser on this very machine, without a proxy between. The name it knows us by must be a loopback one, or a page
 * elsewhere whose name was made to lead here would count as ours.
 */
export function comesFromThisMachine({ headers, httpVersion }: Pick<Request, 'headers' | 'httpVersion'>): boolean {
  // No browser speaks 1.0; nginx does, and as it comes adds no header.
  if (httpVersion === '1.0') return false;
  return isLoopbackHost(headers.host) && !Object.keys(headers).some((name) => forwarding.test(name));
}

/** The page that this listener serves asks, and no other page. */
export function comesFromOwnPage(request: Pick<Request, 'headers' | 'httpVersion'>): boolean {
  const { host, origin } = request.headers;
  return comesFromThisMachine(request) && origin === `http://${host}`;
}

function isLoopbackHost(host: string | undefined): boolean {
  const [, name, address] = /^(?:(localhost|[0-9.]+)|\[([0-9a-f:]+)\])(?::[0-9]{1,5})?$/.exec(host ?? '') ?? [];
  return name === 'localhost' || isLoopback(name ?? address ?? '');
}

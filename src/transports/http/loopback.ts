import { BlockList, isIP } from 'node:net';
import type { Request } from 'express';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/** Returns true if the listen address is a loopback address. Host names are not resolved, so they are never loopback. */
export function isLoopback(address: string): boolean {
  const version = isIP(address);
  return version !== 0 && loopback.check(address, version === 6 ? 'ipv6' : 'ipv4');
}

/**
 * Returns true if, according to its headers, the request comes from a page that this server serves under a loopback name.
 * No other page can make a browser send these headers, not even a page whose host name resolves to this machine (DNS
 * rebinding). Programs other than browsers can send any headers. Therefore the key in the page's link decides who gets a
 * token, and this check is only an additional protection.
 */
export function isFromOwnPage({ headers: { host, origin } }: Pick<Request, 'headers'>): boolean {
  return isLoopbackHost(host) && origin === `http://${host}`;
}

function isLoopbackHost(host: string | undefined): boolean {
  const [, name, address] = /^(?:(localhost|[0-9.]+)|\[([0-9a-f:]+)\])(?::[0-9]{1,5})?$/.exec(host ?? '') ?? [];
  return name === 'localhost' || isLoopback(name ?? address ?? '');
}

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

/**
 * The request says of itself that the page at a loopback name of this server makes it. A browser cannot be made to say
 * so by another page, not even by one whose name leads here (DNS rebinding). Any other program can: who may have a token
 * is decided by the key of the page, and this comes on top.
 */
export function isFromOwnPage({ headers: { host, origin } }: Pick<Request, 'headers'>): boolean {
  return isLoopbackHost(host) && origin === `http://${host}`;
}

function isLoopbackHost(host: string | undefined): boolean {
  const [, name, address] = /^(?:(localhost|[0-9.]+)|\[([0-9a-f:]+)\])(?::[0-9]{1,5})?$/.exec(host ?? '') ?? [];
  return name === 'localhost' || isLoopback(name ?? address ?? '');
}

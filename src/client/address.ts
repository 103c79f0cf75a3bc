import { namespace } from './wire.ts';

/**
 * What Socket.IO connects to. A path in the URL is where the service is mounted: it goes before `/socket.io/`, and the
 * namespace stays. By hand, for the `URL` of React Native has no `pathname`.
 */
export function parseServiceUrl(url: string): { url: string; path: string } {
  const [, origin, mountPath] = /^((?:https?|wss?):\/\/[^/?#]+)([^?#]*)$/i.exec(url) ?? [];
  if (!origin) throw new TypeError(`not the URL of a service: ${url}`);
  return { url: origin + namespace, path: `${mountPath!.replace(/\/+$/, '')}/socket.io/` };
}

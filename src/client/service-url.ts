export interface ServiceUrl {
  origin: string;
  /** The path under which the service is mounted, without a slash at its end. */
  mountPath: string;
}

/** By hand, because `URL` in React Native has no `pathname`. */
export function parseServiceUrl(url: string): ServiceUrl {
  const [, origin, path] = /^((?:https?|wss?):\/\/[^/?#]+)([^?#]*)$/i.exec(url) ?? [];
  if (!origin) throw new TypeError(`url must be http(s)://host or http(s)://host/path, without a query: ${url}`);
  const [, corrected, added] = /^(.*)(\/rooms|\/chat)$/.exec(path!) ?? [];
  if (added) console.warn(`url should not end in ${added}. If the service is mounted there, add a slash: ${url}/`);
  return { origin, mountPath: (corrected ?? path!).replace(/\/+$/, '') };
}

/** The URL for requests over HTTP, without a slash at its end. */
export const toHttpUrl = ({ origin, mountPath }: ServiceUrl): string => origin.replace(/^ws/i, 'http') + mountPath;

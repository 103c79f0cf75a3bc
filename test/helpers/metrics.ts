import { rest } from './rest-client.ts';

/** All metrics of a node by name and labels, as in `nano_messaging_connections{transport="chat"}`. */
export type Metrics = Map<string, number>;

export async function readMetrics(url: string): Promise<Metrics> {
  const { status, body } = await rest(url).get('/metrics');
  if (status !== 200) throw new Error(`GET /metrics failed: ${status} ${body}`);
  const lines = [...String(body).matchAll(/^([^#\s]\S*(?:\{.*\})?) (\S+)$/gm)];
  return new Map(lines.map(([, name, value]) => [name!, Number(value)]));
}

/** The metrics that have increased, and by how much. */
export function increments(before: Metrics, after: Metrics, pattern: RegExp): Record<string, number> {
  const grown = [...after].map(([name, value]): [string, number] => [name, value - (before.get(name) ?? 0)]);
  return Object.fromEntries(grown.filter(([name, by]) => pattern.test(name) && by !== 0));
}

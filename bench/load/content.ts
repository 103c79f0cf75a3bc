const bytes = 100;
const mark = '|';

/**
 * 100 characters that contain the intended time of sending (µs), the number of the connection, and the number of the
 * message on that connection.
 */
export function contentOf(us: number, connection: number, n: number): string {
  return `${us}${mark}${connection}${mark}${n}${mark}`.padEnd(bytes, 'x');
}

export interface Delivery {
  seq: number;
  us: number;
  connection: number;
  n: number;
}

const seqKey = '"seq":';
const contentKey = '"content":"';

/**
 * Extracts only the needed fields, without parsing the frame as JSON, so that the load does not become the bottleneck.
 */
export function deliveryIn(frame: string): Delivery | undefined {
  const seqAt = frame.indexOf(seqKey);
  const contentAt = frame.indexOf(contentKey);
  if (seqAt < 0 || contentAt < 0) return undefined;
  const connectionAt = frame.indexOf(mark, contentAt) + 1;
  const nAt = frame.indexOf(mark, connectionAt) + 1;
  return {
    seq: Number.parseInt(frame.slice(seqAt + seqKey.length, seqAt + seqKey.length + 16), 10),
    us: Number(frame.slice(contentAt + contentKey.length, connectionAt - 1)),
    connection: Number(frame.slice(connectionAt, nAt - 1)),
    n: Number(frame.slice(nAt, frame.indexOf(mark, nAt))),
  };
}

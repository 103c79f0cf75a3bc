const bytes = 100;
const mark = '|';

/** 100 characters that say when they were to be sent (µs), by which line, and the how-manieth of its messages it is. */
export function contentOf(us: number, line: number, n: number): string {
  return `${us}${mark}${line}${mark}${n}${mark}`.padEnd(bytes, 'x');
}

export interface Delivery {
  seq: number;
  us: number;
  line: number;
  n: number;
}

const seqKey = '"seq":';
const contentKey = '"content":"';

/** Reads what is needed of a frame and no more: the load must not be what is measured. */
export function deliveryIn(frame: string): Delivery | undefined {
  const seqAt = frame.indexOf(seqKey);
  const contentAt = frame.indexOf(contentKey);
  if (seqAt < 0 || contentAt < 0) return undefined;
  const lineAt = frame.indexOf(mark, contentAt) + 1;
  const nAt = frame.indexOf(mark, lineAt) + 1;
  return {
    seq: Number.parseInt(frame.slice(seqAt + seqKey.length, seqAt + seqKey.length + 16), 10),
    us: Number(frame.slice(contentAt + contentKey.length, lineAt - 1)),
    line: Number(frame.slice(lineAt, nAt - 1)),
    n: Number(frame.slice(nAt, frame.indexOf(mark, nAt))),
  };
}

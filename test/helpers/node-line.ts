import { type DatabaseLine, databaseLine } from './database-line.ts';

export interface NodeLine extends DatabaseLine {
  /** The node as a client sees it at the other end of the line. */
  url: string;
}

/** A line between a client and a node, which the test may do anything to. */
export async function lineToNode(url: string): Promise<NodeLine> {
  const line = await databaseLine('127.0.0.1', Number(new URL(url).port));
  return { ...line, url: `http://127.0.0.1:${line.port}` };
}

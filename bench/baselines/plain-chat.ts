import type { AddressInfo } from 'node:net';

/** The last `seq` of each room. All baselines send the same message of some 250 bytes, numbered per room in memory. */
const lastSeq = new Map<number, number>();

export function messageIn(room_id: number, content: string) {
  const seq = (lastSeq.get(room_id) ?? 0) + 1;
  lastSeq.set(room_id, seq);
  const emitter = '00000000-0000-4000-8000-000000000000';
  return { room_id, seq, emitter, content, createdAt: new Date().toISOString() };
}

export function draftOf(frame: { join?: number; content?: string }) {
  return { join: frame.join, content: frame.content ?? '' };
}

/** Sends the URL to the parent process. */
export function listening(address: AddressInfo | string | null): void {
  process.send?.({ url: `http://127.0.0.1:${(address as AddressInfo).port}` });
}

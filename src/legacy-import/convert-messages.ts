import { Uuid } from '../core/ids.ts';
import { nobody } from './convert-rooms.ts';
import type { Findings } from './findings.ts';
import type { OldMessage } from './legacy-rows.ts';
import type { Head } from './target-reads.ts';
import { momentOf } from './timestamps.ts';

/** A message as it is written here. */
export interface NewMessage extends Pick<Head, 'seq' | 'rev'> {
  id: number;
  room: number;
  emitter: Uuid;
  content: string;
  created: number;
  updated: number;
}

export interface TakingSettings {
  now: number;
  contentBytes: number;
  findings: Findings;
}

/**
 * The message at the next place of its room, which `head` is moved to; undefined where there is nothing in it. `undated`
 * is the date of one that has none.
 */
export function takeMessage(
  old: OldMessage,
  head: Head,
  undated: number,
  { now, contentBytes, findings }: TakingSettings,
): NewMessage | undefined {
  const [id, room, writer, content, made, changed] = old;
  const name = `message ${id} in room ${room}`;
  if (content === null || content === '') {
    findings.add('message_content', name);
    return undefined;
  }
  if (contentBytes > 0 && content.length * 3 > contentBytes && Buffer.byteLength(content) > contentBytes) {
    findings.add('message_long', name);
  }
  const emitter = Uuid.safeParse(writer).data ?? nobody;
  if (emitter === nobody) findings.add('message_emitter', name);
  const own = momentOf(made, now);
  const created = Math.max(own ?? undated, head.at);
  if (made === null || created !== Math.round(made)) findings.add('message_date', name);
  head.seq += 1;
  head.rev += 1;
  head.at = created;
  const updated = Math.max(momentOf(changed, now) ?? created, created);
  return { id, room, seq: head.seq, rev: head.rev, emitter, content, created, updated };
}

import { Uuid } from '../core/ids.ts';
import { nobody } from './convert-rooms.ts';
import { toTimestamp } from './convert-rules.ts';
import type { LegacyMessage } from './legacy-database.ts';
import type { Findings } from './report.ts';
import type { Head } from './target.ts';

/** A row of `messages` in this service. */
export interface NewMessage extends Pick<Head, 'seq' | 'rev'> {
  id: number;
  room: number;
  emitter: Uuid;
  content: string;
  created: number;
  updated: number;
}

export interface ConvertSettings {
  now: number;
  maxContentBytes: number;
  findings: Findings;
}

/**
 * Converts a legacy message, and advances `head` to the position that the message has in the log. Returns undefined for
 * a message without content. A message without a date gets `fallbackDate`.
 */
export function convertMessage(
  legacyMessage: LegacyMessage,
  head: Head,
  fallbackDate: number,
  { now, maxContentBytes, findings }: ConvertSettings,
): NewMessage | undefined {
  const [id, room, author, content, createdMs, updatedMs] = legacyMessage;
  const name = `message ${id} in room ${room}`;
  if (content === null || content === '') {
    findings.add('message_content', name);
    return undefined;
  }
  if (maxContentBytes > 0 && content.length * 3 > maxContentBytes && Buffer.byteLength(content) > maxContentBytes) {
    findings.add('message_long', name);
  }
  const emitter = Uuid.safeParse(author).data ?? nobody;
  if (emitter === nobody) findings.add('message_emitter', name);
  const timestamp = toTimestamp(createdMs, now);
  const created = Math.max(timestamp ?? fallbackDate, head.at);
  if (createdMs === null || created !== Math.round(createdMs)) findings.add('message_date', name);
  head.seq += 1;
  head.rev += 1;
  head.at = created;
  const updated = Math.max(toTimestamp(updatedMs, now) ?? created, created);
  return { id, room, seq: head.seq, rev: head.rev, emitter, content, created, updated };
}

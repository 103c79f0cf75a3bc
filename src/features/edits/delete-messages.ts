import type { Actor, service } from '../../core/authorization.ts';
import { ChatError } from '../../core/errors.ts';
import type { RoomRef } from '../../core/ids.ts';
import { type AppContext, resolveRoomId } from '../app-context.ts';
import { administers, write } from '../messages/write.ts';

export interface Deletion {
  deleted: number[];
  rev: number;
  cursor: string;
}

/** Deletes all of the messages, or none. Only the deletions of users who are no administrators count towards the send rate. */
export async function deleteMessages(
  context: AppContext,
  actor: Actor | typeof service,
  ref: RoomRef,
  seqs: readonly number[],
): Promise<Deletion> {
  const room = await resolveRoomId(context, ref);
  if (actor.user !== null && !(await administers(context, actor, room))) await context.sendRate.consume(actor.user);
  const result = await write(context, actor, room, { kind: 'delete', seqs: [...new Set(seqs)] });
  const deleted = result.outcome === 'deleted' ? result.messages.map(({ message }) => message.seq) : [];
  return { deleted, rev: result.rev, cursor: result.cursor };
}

/** Deletes a message of a route whose path has a single `seq`, which errors name. */
export async function deleteMessage(
  context: AppContext,
  actor: Actor | typeof service,
  ref: RoomRef,
  seq: number,
): Promise<Deletion> {
  try {
    return await deleteMessages(context, actor, ref, [seq]);
  } catch (error) {
    if (!(error instanceof ChatError) || error.field !== 'seqs') throw error;
    const { code, message, cause } = error;
    throw new ChatError(code, { field: 'seq', message, cause });
  }
}

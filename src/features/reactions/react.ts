import type { Actor } from '../../core/authorization.ts';
import { formatCursor } from '../../core/cursor.ts';
import type { RoomId, RoomRef } from '../../core/ids.ts';
import type { ReactionCount } from '../../core/log/message.ts';
import { type AppContext, resolveRoomId } from '../app-context.ts';
import type { AppliedOperation } from '../messages/send-request.ts';
import { assertAcceptsWrites } from '../messages/write.ts';

export interface Reaction {
  seq: number;
  emoji: string;
  added: boolean;
}

export interface Reacted {
  reactions: ReactionCount[];
  changed: boolean;
  rev: number;
  cursor: string;
}

/**
 * Adds or removes a reaction of the actor. Resolves as soon as the order of the reaction is fixed. `reacted` settles
 * when it has been committed or rejected, up to 100 ms later.
 */
export async function react(
  context: AppContext,
  actor: Actor,
  ref: RoomRef,
  { seq, emoji, added }: Reaction,
): Promise<{ reacted: Promise<Reacted> }> {
  assertAcceptsWrites(context);
  await context.sendRate.consume(actor.user);
  const room_id = await resolveRoomId(context, ref);
  const operation = { kind: 'react', seq, emoji, added } as const;
  return { reacted: context.reactionBatcher.apply({ actor, room_id, operation }).then(toReacted(room_id)) };
}

const toReacted =
  (room_id: RoomId) =>
  (result: AppliedOperation): Reacted => {
    if (result.outcome !== 'reacted' && result.outcome !== 'unchanged')
      throw new Error(`A reaction was ${result.outcome}`);
    const { rev, at, reactions = [] } = result;
    return { reactions, changed: result.outcome === 'reacted', rev, cursor: formatCursor({ room_id, rev, at }) };
  };

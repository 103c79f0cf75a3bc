import type { Actor } from '../../core/authorization.ts';
import { ChatError } from '../../core/errors.ts';
import type { RoomRef, Uuid } from '../../core/ids.ts';
import { type AppContext, requireRoom } from '../app-context.ts';

interface ReactionRow {
  emoji: string;
  user: Uuid;
}

const messageExists = {
  name: 'message_exists',
  text: 'select 1 from messages where room_id = $1::bigint and seq = $2::bigint',
};

/** `emoji` is compared with the C collation, so that pages do not depend on the locale of the database. */
const reactionsOfMessage = {
  name: 'reactions_of_message',
  text: `select emoji, user_uuid::text as user from reactions
    where room_id = $1::bigint and seq = $2::bigint
      and ($3::text is null or (emoji collate "C", user_uuid) > ($3::text collate "C", $4::uuid))
    order by emoji collate "C", user_uuid limit $5::int`,
};

/** A page of the reactions to a message, by emoji and user. `next` is null on the last page. */
export async function listReactions(
  context: AppContext,
  actor: Actor,
  ref: RoomRef,
  { seq, limit, after }: { seq: number; limit: number; after?: string | undefined },
): Promise<{ reactions: ReactionRow[]; next: string | null }> {
  const { room } = await requireRoom(context, actor, 'read', ref);
  const [emoji, user] = after === undefined ? [null, null] : parsePage(after);
  const rows = await context.store.query<ReactionRow>(reactionsOfMessage, [room.id, seq, emoji, user, limit + 1]);
  if (rows.length === 0 && (await context.store.query(messageExists, [room.id, seq])).length === 0) {
    throw new ChatError('NO_MESSAGE', { field: 'seq' });
  }
  const reactions = rows.slice(0, limit);
  const last = reactions.at(-1);
  return { reactions, next: rows.length > limit && last ? `${last.user} ${last.emoji}` : null };
}

function parsePage(after: string): [string, string] {
  const [, user, emoji] = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}) (\P{Cc}+)$/u.exec(after) ?? [];
  if (user === undefined || emoji === undefined || !emoji.isWellFormed()) {
    throw new ChatError('BAD_REQUEST', { field: 'after', message: 'must be `meta.next` of the previous page' });
  }
  return [emoji, user];
}

import type { z } from 'zod';
import { authorize, type RoomOwnership, type Rule } from '../../core/authorization.ts';
import { ChatError } from '../../core/errors.ts';
import { nilUuid, type RoomId, type RoomRef, type Uuid } from '../../core/ids.ts';
import { messageFlags } from '../../core/log/message.ts';
import type { Statement, Store } from '../../database/store.ts';
import { type AppContext, resolveRoomId } from '../app-context.ts';
import type { Recipient, RecipientCursor, RecipientsQuery } from './contract.ts';

const messageStatement: Statement = {
  name: 'message_to_notify_of',
  text: `select r.type, r.user_owner::text as user_owner, r.entity_owner::text as entity_owner,
      r.level_admin::float8 as level_admin, m.emitter::text as emitter, m.deleted_at is not null as is_deleted,
      coalesce(m.flags, 0)::int as flags, coalesce(to_json(m.mentions), '[]') as mentions
    from rooms r left join messages m on m.room_id = r.id and m.seq = $2::bigint where r.id = $1::bigint`,
};

const granteesStatement: Statement = {
  name: 'list_grantees',
  text: 'select o_user::text as user from list_grantees($1::bigint, $2::uuid[], $3::uuid, $4::int)',
};

const recipientsStatement: Statement = {
  name: 'list_recipients',
  text: `select o_user::text as user, o_entity::text as entity, o_level as level, coalesce(o_rules, '[]') as rules,
      o_is_muted as "isMuted", o_has_read as "hasRead", o_is_mentioned as "isMentioned"
    from list_recipients($1::bigint, $2::bigint, $3::uuid[], $4::uuid[], $5::int[], $6::boolean[])`,
};

interface MessageRow extends RoomOwnership {
  /** Null if the room has no such message. */
  emitter: Uuid | null;
  is_deleted: boolean;
  flags: number;
  mentions: Uuid[];
}

interface CandidateRow {
  user: Uuid;
  entity: Uuid | null;
  level: number;
  rules: Rule[];
  isMuted: boolean;
  hasRead: boolean;
  isMentioned: boolean;
}

/** Without `entity`, the claims of the user are those of their last mark in the room, if there is one. */
interface Candidate {
  user: Uuid;
  entity?: Uuid | null | undefined;
  level?: number | undefined;
}

interface Page {
  candidates: Candidate[];
  next: RecipientCursor | null;
}

interface Recipients {
  recipients: Recipient[];
  next: RecipientCursor | null;
}

/** Finds the users who are to be notified of a message now. */
export async function findRecipients(
  context: AppContext,
  ref: RoomRef,
  seq: number,
  query: z.infer<typeof RecipientsQuery>,
): Promise<Recipients> {
  const room = await resolveRoomId(context, ref);
  const [message] = await context.store.query<MessageRow>(messageStatement, [room, seq]);
  if (!message) throw new ChatError('NOT_FOUND');
  if (message.emitter === null) throw new ChatError('NO_MESSAGE', { field: 'seq' });
  if (message.is_deleted || message.flags & messageFlags.silent) return { recipients: [], next: null };

  const isForEverybody = (message.flags & messageFlags.mentionRoom) !== 0;
  const mentions = isForEverybody || message.mentions.length === 0 ? null : message.mentions;
  const { candidates, next } = query.users
    ? { candidates: query.users, next: null }
    : await listCandidates(context.store, room, mentions, query);
  // The pages of the others do not repeat those who are mentioned.
  const omitsMentioned = mentions !== null && query.after?.isMentioned === false;
  const rows = (await readCandidates(context.store, room, seq, candidates)).filter(
    (row) => row.user !== message.emitter && !(omitsMentioned && row.isMentioned) && isToBeNotified(row, message),
  );
  rows.sort((a, b) => Number(b.isMentioned) - Number(a.isMentioned));
  const connected = await context.connections.findConnected(rows.map(({ user }) => user));
  const recipients = rows.map(({ user, isMentioned }) => ({
    ...{ user, mentioned: isMentioned },
    connected: connected.get(user) ?? null,
  }));
  return { recipients, next };
}

function isToBeNotified({ user, entity, level, rules, isMuted, hasRead }: CandidateRow, room: RoomOwnership): boolean {
  if (isMuted || hasRead) return false;
  return authorize({ user, entity, level, mayCreateRooms: false }, room, rules).rights.includes('r');
}

/** Lists grantees in the order of their UUIDs: first those who are mentioned, if not everybody is, then all. */
async function listCandidates(
  store: Pick<Store, 'query'>,
  room: RoomId,
  mentions: readonly Uuid[] | null,
  { after, limit }: { after?: RecipientCursor | null | undefined; limit: number },
): Promise<Page> {
  const listGrantees = (from: readonly Uuid[] | null, user: Uuid, max: number) =>
    store.query<{ user: Uuid }>(granteesStatement, [room, from, user, max]);
  const isMentioned = mentions !== null && (after?.isMentioned ?? true);
  const mentioned = isMentioned ? await listGrantees(mentions, after?.user ?? nilUuid, limit) : [];
  if (mentioned.length === limit) return { candidates: mentioned, next: { isMentioned, user: mentioned.at(-1)!.user } };
  const left = limit - mentioned.length;
  const others = await listGrantees(null, isMentioned ? nilUuid : (after?.user ?? nilUuid), left);
  const next = others.length === left ? { isMentioned: false, user: others.at(-1)!.user } : null;
  return { candidates: [...mentioned, ...others], next };
}

function readCandidates(
  store: Pick<Store, 'query'>,
  room: RoomId,
  seq: number,
  candidates: readonly Candidate[],
): Promise<CandidateRow[]> {
  const unique = [...new Map(candidates.map((candidate) => [candidate.user, candidate])).values()];
  return store.query<CandidateRow>(recipientsStatement, [
    room,
    seq,
    unique.map(({ user }) => user),
    unique.map(({ entity }) => entity ?? null),
    unique.map(({ level }) => level ?? null),
    unique.map(({ entity }) => entity !== undefined),
  ]);
}

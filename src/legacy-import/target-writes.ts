import type { Uuid } from '../core/ids.ts';
import type { NewMessage } from './convert-messages.ts';
import type { NewRoom } from './convert-rooms.ts';
import type { RuleChange } from './merge-rules.ts';
import type { Head, ImportProgress, Target } from './target.ts';

/**
 * Rooms that are created in this service get ids above the legacy ids plus this gap. The gap is for rooms that the
 * legacy service creates before the next import.
 */
const roomIdGap = 1_000;
/** The legacy service uses int4 for message ids. Messages that are sent in this service get ids above that range. */
const int32 = 2_147_483_647;

const chunkSize = 1_000;

function* splitChunks<T>(all: readonly T[]): Generator<T[]> {
  for (let at = 0; at < all.length; at += chunkSize) yield all.slice(at, at + chunkSize);
}

/**
 * Advances the sequences beyond the imported ids. `setval` takes effect immediately in all sessions, even before the
 * commit. It is called only for a sequence that is behind: a node may call `nextval` at the same time, and `setval`
 * could then move the sequence back.
 */
export async function advanceSequences(target: Target, lastRoom: number, lastMessage: number): Promise<void> {
  const advanceSequence = (sequence: string, to: number) =>
    target.query(`select setval('${sequence}', $1::bigint) from ${sequence} where last_value < $1::bigint`, [to]);
  await advanceSequence('rooms_id_seq', lastRoom + roomIdGap);
  await advanceSequence('messages_id_seq', lastMessage > int32 ? lastMessage + int32 : int32);
}

const insertMessages = `insert into messages (id, room_id, seq, rev, emitter, content, created_at, updated_at)
  select i.id, i.room, i.seq, i.rev, i.emitter, i.content, to_timestamp(i.created / 1000), to_timestamp(i.updated / 1000)
  from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::uuid[], $6::text[], $7::float8[], $8::float8[])
    as i(id, room, seq, rev, emitter, content, created, updated)`;

export async function writeMessages(target: Target, messages: readonly NewMessage[]): Promise<void> {
  const columns = (['id', 'room', 'seq', 'rev', 'emitter', 'content', 'created', 'updated'] as const).map((name) =>
    messages.map((message) => message[name]),
  );
  await target.query(insertMessages, columns);
}

/** Inserts rooms with their rules. The rooms' logs do not mention these rules, because rooms start with them. */
export async function writeRooms(target: Target, rooms: readonly NewRoom[]): Promise<void> {
  for (const chunk of splitChunks(rooms)) {
    const columns: unknown[][] = [
      ...(
        ['id', 'uuid', 'name', 'type', 'level_admin', 'user_owner', 'user_owner_entity', 'entity_owner'] as const
      ).map((name) => chunk.map((room) => room[name])),
      chunk.map(({ pair }) => pair?.pairLow ?? null),
      chunk.map(({ pair }) => pair?.pairHigh ?? null),
      chunk.map(({ max_entity_rules }) => max_entity_rules),
      chunk.map(({ created }) => created),
      chunk.map(({ updated }) => updated),
    ];
    await target.query(
      `insert into rooms (id, uuid, name, type, level_admin, user_owner, user_owner_entity, entity_owner, pair_low,
         pair_high, max_entity_rules, last_change_at, created_at, updated_at)
       select i.id, i.uuid, i.name, i.type, i.level_admin, i.user_owner, i.user_owner_entity, i.entity_owner, i.low,
         i.high, i.most, to_timestamp(i.created / 1000), to_timestamp(i.created / 1000), to_timestamp(i.updated / 1000)
       from unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[], $5::int[], $6::uuid[], $7::uuid[], $8::uuid[],
         $9::uuid[], $10::uuid[], $11::int[], $12::float8[], $13::float8[])
         as i(id, uuid, name, type, level_admin, user_owner, user_owner_entity, entity_owner, low, high, most,
           created, updated)`,
      columns,
    );
    const rules = chunk.flatMap(({ id: room, rules }) =>
      rules.map((rule) => ({ ...rule, room, accepted: rule.accepted || null })),
    );
    await writeRules(target, rules);
  }
}

interface RuleRow {
  room: number;
  grantee: Uuid;
  kind: string;
  permissions: string;
  level: number;
  accepted: boolean | null;
  created: number;
  updated: number;
}

async function writeRules(target: Target, rules: readonly RuleRow[]): Promise<void> {
  const names = ['room', 'grantee', 'kind', 'permissions', 'level', 'accepted', 'created', 'updated'] as const;
  await target.query(
    `insert into permission_rules as p (room_id, grantee, kind, permissions, level, accepted, created_at, updated_at, from_seq)
     select i.room, i.grantee, i.kind, i.permissions, i.level, i.accepted, to_timestamp(i.created / 1000),
       to_timestamp(i.updated / 1000), r.last_seq
     from unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[], $5::int[], $6::boolean[], $7::float8[], $8::float8[])
       as i(room, grantee, kind, permissions, level, accepted, created, updated)
     join rooms r on r.id = i.room
     on conflict (room_id, grantee) do update set permissions = excluded.permissions, level = excluded.level,
       accepted = excluded.accepted, updated_at = excluded.updated_at`,
    names.map((name) => rules.map((rule) => rule[name])),
  );
}

/** A rule change in a room from an earlier import, with its position in the room's log. */
export interface LoggedRuleChange extends RuleChange {
  room: number;
  rev: number;
  at: number;
}

export async function writeRuleChanges(target: Target, changes: readonly LoggedRuleChange[]): Promise<void> {
  for (const chunk of splitChunks(changes)) {
    const removed = chunk.filter(({ permissions }) => permissions === null);
    const kept = chunk.filter((change) => change.permissions !== null);
    await writeRules(
      target,
      kept.map((change) => ({ ...change, permissions: change.permissions!, updated: change.at })),
    );
    await target.query(
      `delete from permission_rules p using unnest($1::bigint[], $2::uuid[]) as i(room, grantee)
       where p.room_id = i.room and p.grantee = i.grantee`,
      [removed.map(({ room }) => room), removed.map(({ grantee }) => grantee)],
    );
    const body = ({ grantee, kind, permissions, level, accepted }: RuleChange) =>
      JSON.stringify({ entity_UUID: grantee, kind, permissions, level, accepted });
    await target.query(
      `insert into room_changes (room_id, rev, kind, body, at)
       select i.room, i.rev, 'member', i.body::jsonb, to_timestamp(i.at / 1000)
       from unnest($1::bigint[], $2::bigint[], $3::text[], $4::float8[]) as i(room, rev, body, at)`,
      [chunk.map(({ room }) => room), chunk.map(({ rev }) => rev), chunk.map(body), chunk.map(({ at }) => at)],
    );
  }
}

/**
 * Marks the imported messages as read for everybody who had no unread messages before. Call this before the rooms are
 * advanced.
 */
async function markAsRead(target: Target, rooms: readonly AdvancedRoom[]): Promise<void> {
  const ends = [rooms.map(({ room }) => room), rooms.map(({ seq }) => seq)];
  const withRooms = `from unnest($1::bigint[], $2::bigint[]) as i(room, seq)
    join rooms r on r.id = i.room and r.last_seq < i.seq`;
  const hadReadAll = (user: string, readSeq: string) => `not exists (
    select 1 from messages m where m.room_id = i.room and m.seq > ${readSeq} and m.seq <= r.last_seq
      and m.emitter <> ${user} and is_counted(m))`;
  await target.query(
    `update permission_rules p set from_seq = i.seq ${withRooms}
     where p.room_id = i.room and p.from_seq is not null and ${hadReadAll('p.grantee', 'p.from_seq')}`,
    ends,
  );
  await target.query(
    `update positions s set read_seq = i.seq, version = s.version + 1 ${withRooms}
     where s.room_id = i.room and s.read_seq is not null and ${hadReadAll('s.user_uuid', 's.read_seq')}`,
    ends,
  );
}

/** A room with the new end of its log. */
export interface AdvancedRoom extends Head {
  room: number;
  /** The `rev` of the last rule change; null if no rule changed. */
  rightsRev: number | null;
  /** Set if the second user of a user2user room was added. */
  pair: { pairLow: Uuid; pairHigh: Uuid } | undefined;
}

export async function advanceRooms(target: Target, rooms: readonly AdvancedRoom[]): Promise<void> {
  for (const chunk of splitChunks(rooms)) {
    await markAsRead(target, chunk);
    const names = ['room', 'seq', 'rev', 'at', 'rightsRev'] as const;
    await target.query(
      `update rooms r set last_seq = i.seq, last_rev = i.rev, last_change_at = to_timestamp(i.at / 1000),
         active_at = case when i.seq = r.last_seq then coalesce(r.active_at, r.last_change_at) else
           (select m.created_at from messages m where m.room_id = r.id and m.seq = i.seq) end,
         rights_rev = coalesce(i.rights, r.rights_rev), pair_low = coalesce(i.low, r.pair_low),
         pair_high = coalesce(i.high, r.pair_high)
       from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::float8[], $5::bigint[], $6::uuid[], $7::uuid[])
         as i(room, seq, rev, at, rights, low, high)
       where r.id = i.room`,
      [
        ...names.map((name) => chunk.map((room) => room[name])),
        chunk.map(({ pair }) => pair?.pairLow ?? null),
        chunk.map(({ pair }) => pair?.pairHigh ?? null),
      ],
    );
    await target.query('insert into touches (what, room_id) select 1, unnest($1::bigint[])', [
      chunk.map(({ room }) => room),
    ]);
  }
}

export async function writeProgress(target: Target, progress: readonly ImportProgress[], now: number): Promise<void> {
  for (const chunk of splitChunks(progress)) {
    await target.query(
      `insert into imported_rooms (room_id, uuid, last_message_id, seen_messages, left_out, rules, imported_at)
       select i.room, i.uuid, i.last, i.seen, i.left_out, i.rules::jsonb, to_timestamp($7::float8 / 1000)
       from unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[])
         as i(room, uuid, last, seen, left_out, rules)
       on conflict (room_id) do update set last_message_id = excluded.last_message_id,
         seen_messages = excluded.seen_messages, left_out = excluded.left_out, rules = excluded.rules,
         imported_at = excluded.imported_at`,
      [
        ...(['room', 'uuid', 'lastMessageId', 'seenMessages', 'leftOut'] as const).map((name) =>
          chunk.map((row) => row[name]),
        ),
        chunk.map(({ rules }) => JSON.stringify(rules)),
        now,
      ],
    );
  }
}

export async function countLeftOut(target: Target, leftOut: ReadonlyMap<number, number>): Promise<void> {
  for (const chunk of splitChunks([...leftOut])) {
    await target.query(
      `update imported_rooms r set left_out = r.left_out + i.count from unnest($1::bigint[], $2::bigint[]) as i(room, count)
       where r.room_id = i.room`,
      [chunk.map(([room]) => room), chunk.map(([, count]) => count)],
    );
  }
}

import { ms } from '../../database/epoch-ms.ts';
import { planOnce } from '../../database/plan-once.ts';
import type { Statement } from '../../database/store.ts';
import { rootReplies, wholeMessage } from './message-row.ts';
import { roomColumns, ruleJson } from './room-row.ts';

/**
 * Reads rooms with their rules. Parameters 2 and 3 name the last change that affects rights in the rules that the caller
 * knows of each room: its `rev` and its time in ms. If they fit the log, the statement returns only the rules that have
 * changed since. Rules change only with an entry in `room_changes`.
 */
const roomsById =
  planOnce(`select ${roomColumns}, (select ${ms('l.at')} from room_changes l where l.room_id = r.id and l.rev = r.rights_rev) as rights_at,
  case when c.fits then to_json(c.grantees) end as changed_grantees,
  coalesce(case when c.fits then (select json_agg(${ruleJson} order by p.created_at, p.grantee)
      from unnest(c.grantees) g join permission_rules p on p.room_id = r.id and p.grantee = g)
    else (select json_agg(${ruleJson} order by p.created_at, p.grantee) from permission_rules p where p.room_id = r.id)
    end, '[]') as rules
  from unnest($1::bigint[], $2::bigint[], $3::float8[]) as k(id, rights_rev, rights_at)
  cross join lateral (select * from rooms x where x.id = k.id limit 1) r
  cross join lateral (
    select k.rights_rev <= r.rights_rev and coalesce(bool_and(x.kind in ('member', 'room')), true) and
        (select ${ms('b.at')} from room_changes b where b.room_id = k.id and b.rev = k.rights_rev)
          is not distinct from k.rights_at as fits,
      coalesce(array_agg(distinct (x.body ->> 'entity_UUID')::uuid) filter (where x.kind = 'member'), '{}') as grantees
    from room_changes x where x.room_id = k.id and x.rev > k.rights_rev and x.rev <= r.rights_rev
  ) c`);

/**
 * Reads the messages whose `seq` is in parameter 2. The `order by` makes PostgreSQL use the primary key for each
 * message, even if it planned the statement while the table was empty. Otherwise it might use another index that begins
 * with the room, and read that index from end to end for each message.
 */
const selectBySeq = (columns: string) => `select x.* from unnest($2::bigint[]) as i(seq) cross join lateral (
  select ${columns} from messages m
  where m.room_id = $1::bigint and m.seq >= i.seq and m.seq <= i.seq order by m.seq limit 1
) x`;

/**
 * Reads the entries between the revs in parameters 2 and 3 of each room in parameter 1. The order and the limit make
 * PostgreSQL read the index by `rev`.
 */
const selectRanges = (select: string, rev: string) => `select x.*
  from unnest($1::bigint[], $2::bigint[], $3::bigint[]) as w(room_id, first_rev, last_rev) cross join lateral (
    ${select} and ${rev} >= w.first_rev and ${rev} <= w.last_rev order by ${rev} limit 1000
  ) x`;

export const statements = {
  append: {
    name: 'append',
    isUrgent: true,
    writesJournal: true,
    text: `select o_ord::float8 as ord, o_outcome as outcome, o_id::float8 as id, o_seq::float8 as seq, o_rev::float8 as rev,
      ${ms('o_at')} as at, ${ms('o_updated')} as updated, o_content as content
      from append_messages($1::bigint[], $2::uuid[], $3::text[], $4::text[], $5::boolean[], $6::bigint[])`,
  },
  roomsById: { name: 'rooms_by_id', text: roomsById },
  /** The same statement, but it precedes other statements, because messages cannot be authorized until it returns. */
  roomsByIdUrgent: { name: 'rooms_by_id', isUrgent: true, text: roomsById },
  /**
   * Determines the answers to messages of senders who may not write. If such a message is a duplicate of a stored
   * message, the answer is the stored message, as for any duplicate. The statement takes no lock.
   */
  denied: {
    name: 'denied',
    isUrgent: true,
    text: `select case when r.id is null then 'gone' when m.id is not null then 'duplicate'
        when r.rights_rev <> i.rights_rev then 'stale' else 'refused' end as outcome,
      m.id::float8 as id, m.seq::float8 as seq, m.rev::float8 as rev, m.content, ${ms('m.created_at')} as at,
      ${ms('m.updated_at')} as updated
      from unnest($1::bigint[], $2::uuid[], $3::text[], $4::bigint[]) with ordinality
        as i(room_id, emitter, client, rights_rev, ord)
      left join rooms r on r.id = i.room_id
      left join messages m on m.room_id = i.room_id and m.emitter = i.emitter and m.client_msg_id = i.client
      order by i.ord`,
  },
  roomsByKey: {
    name: 'rooms_by_key',
    text: 'select key, room_id::float8 as id from room_keys where key = any($1::text[])',
  },
  roomByUuid: {
    name: 'room_by_uuid',
    text: `select ${roomColumns}, coalesce((select json_agg(${ruleJson} order by p.created_at, p.grantee)
      from permission_rules p where p.room_id = r.id), '[]') as rules from rooms r where r.uuid = $1::uuid`,
  },
  roomByPair: {
    name: 'room_by_pair',
    text: `select ${roomColumns}, coalesce((select json_agg(${ruleJson} order by p.created_at, p.grantee)
      from permission_rules p where p.room_id = r.id), '[]') as rules
      from rooms r where r.pair_low = $1::uuid and r.pair_high = $2::uuid`,
  },
  roomsOfUser: {
    name: 'rooms_of',
    text: `with mine as (
        select room_id from permission_rules where grantee = $1::uuid
        union select room_id from permission_rules where grantee = $2::uuid
        union select id from rooms where entity_owner = $2::uuid and level_admin <= $3::float8
      )
      select ${roomColumns}, ${ms('a.at')} as active, coalesce((select json_agg(${ruleJson}) from permission_rules p
        where p.room_id = r.id and p.grantee in ($1::uuid, $2::uuid)), '[]') as rules
      from rooms r join mine on mine.room_id = r.id
      left join permission_rules o on o.room_id = r.id and o.grantee = $1::uuid
      cross join lateral (select greatest(coalesce(r.active_at, r.last_change_at), o.created_at) as at) a
      where $4::float8 is null or (a.at, r.id) < (to_timestamp($4::float8 / 1000), $5::bigint)
      order by a.at desc, r.id desc limit $6::int`,
  },
  heads: {
    name: 'heads',
    text: `select id::float8 as id, last_rev::float8 as rev from rooms where id = any($1::bigint[])`,
  },
  messages: {
    name: 'log_messages',
    text: `select ${wholeMessage}, ${rootReplies} from messages m where m.room_id = $1::bigint and m.rev >= $2::bigint
      and m.rev <= $3::bigint order by m.rev limit $4::int`,
  },
  /** The entries of the log that record a change of a message. */
  entries: {
    name: 'log_entries',
    text: `select rev::float8 as rev, kind::int as kind, seq::float8 as seq, changes, ${ms('at')} as at from log_entries
      where room_id = $1::bigint and rev >= $2::bigint and rev <= $3::bigint order by rev limit $4::int`,
  },
  messagesBySeq: {
    name: 'messages_by_seq',
    text: selectBySeq(`${wholeMessage}, ${rootReplies}`),
  },
  /** The same as `messages`, `changes`, `entries` and `messagesBySeq`, for a range of each of several rooms. */
  roomMessages: {
    name: 'log_messages_of_rooms',
    text: selectRanges(`select ${wholeMessage}, ${rootReplies} from messages m where m.room_id = w.room_id`, 'm.rev'),
  },
  roomChanges: {
    name: 'log_changes_of_rooms',
    text: selectRanges(
      `select c.room_id::float8 as room_id, c.rev::float8 as rev, c.kind, c.body, c.actor::text as by, ${ms('c.at')} as at
        from room_changes c where c.room_id = w.room_id`,
      'c.rev',
    ),
  },
  roomEntries: {
    name: 'log_entries_of_rooms',
    text: selectRanges(
      `select e.room_id::float8 as room_id, e.rev::float8 as rev, e.kind::int as kind, e.seq::float8 as seq, e.changes,
        ${ms('e.at')} as at from log_entries e where e.room_id = w.room_id`,
      'e.rev',
    ),
  },
  roomMessagesBySeq: {
    name: 'messages_of_rooms_by_seq',
    text: `select x.* from unnest($1::bigint[], $2::bigint[]) as w(room_id, seq) cross join lateral (
      select ${wholeMessage}, ${rootReplies} from messages m
      where m.room_id = w.room_id and m.seq >= w.seq and m.seq <= w.seq order by m.seq limit 1
    ) x`,
  },
  reactionsForUser: {
    name: 'reactions_for_user',
    text: selectBySeq('m.seq::float8 as seq, message_reactions(m.room_id, m.seq, $3::uuid) as reactions'),
  },
  operations: {
    name: 'apply_operations',
    isUrgent: true,
    writesJournal: true,
    text: 'select o_result as result from apply_operations($1::jsonb)',
  },
  changes: {
    name: 'log_changes',
    text: `select rev::float8 as rev, kind, body, actor::text as by, ${ms('at')} as at from room_changes where room_id = $1::bigint
      and rev >= $2::bigint and rev <= $3::bigint order by rev limit $4::int`,
  },
} as const satisfies Record<string, Statement>;

import { useIndexes } from './planner-settings.ts';
import { lockRooms } from './sql-fragments.ts';

interface Options {
  hasJournal: boolean;
  /** Whether messages of a deleted room may still exist. They are no duplicates. */
  outliveRooms?: boolean;
}

/** The function of `Migration20261123230000_room_log`, whose comment describes it. */
export function createAppendMessages({ hasJournal, outliveRooms = false }: Options): string {
  const room = outliveRooms ? 'r.id' : 'i.room_id';
  return `
create or replace function append_messages(
  p_room bigint[], p_emitter uuid[], p_content text[], p_client text[], p_allowed boolean[], p_judged bigint[]
) returns table (o_ord bigint, o_outcome text, o_id bigint, o_seq bigint, o_rev bigint, o_at timestamptz, o_updated timestamptz, o_content text)
language plpgsql ${useIndexes} as $$
declare
  v_now timestamptz;
  v_locked bigint[];
  v_others bigint[];
begin
  ${lockRooms('p_room', "perform set_config('lock_timeout', '50ms', true);")}
  v_now := date_trunc('milliseconds', clock_timestamp());
  return query
  with item as materialized (
    select i.*, r.id is not null as found, not i.room_id = any(coalesce(v_locked, '{}')) as busy, r.rights_rev, r.last_seq, r.last_rev, greatest(v_now, r.last_change_at) as at,
           m.seq as known_seq
    from unnest(p_room, p_emitter, p_content, p_client, p_allowed, p_judged)
         with ordinality as i(room_id, emitter, content, client, allowed, judged, ord)
    left join rooms r on r.id = i.room_id
    left join messages m on m.room_id = ${room} and m.emitter = i.emitter and m.client_msg_id = i.client
  ), fresh as (
    select i.*, row_number() over (partition by i.room_id order by i.ord) as n
    from item i
    where i.found and not i.busy and i.known_seq is null and i.allowed and i.judged = i.rights_rev
  ), stored as (
    insert into messages (room_id, seq, rev, emitter, content, client_msg_id, created_at, updated_at)
    select f.room_id, f.last_seq + f.n, f.last_rev + f.n, f.emitter, f.content, f.client, f.at, f.at
    from fresh f order by f.ord
    returning messages.room_id, messages.seq, messages.id
  ), moved as (
    update rooms r set last_seq = r.last_seq + c.n, last_rev = r.last_rev + c.n, last_change_at = c.at${hasJournal ? ', active_at = c.at' : ''}
    from (select f.room_id, count(*) as n, max(f.at) as at from fresh f group by f.room_id) c
    where r.id = c.room_id
    returning r.id
  )${hasJournal ? ', touched as (insert into touches (what, room_id) select 1, moved.id from moved)' : ''}
  select f.ord, 'stored', s.id, s.seq, f.last_rev + f.n, f.at, f.at, null::text
    from fresh f join stored s on s.room_id = f.room_id and s.seq = f.last_seq + f.n
  union all
  select i.ord, 'duplicate', m.id, m.seq, m.rev, m.created_at, m.updated_at, m.content
    from item i join messages m on m.room_id = i.room_id and m.seq = i.known_seq and not i.busy
  union all
  select i.ord, case when not i.found then 'gone' when i.busy then 'busy'
                     when i.judged <> i.rights_rev then 'stale' else 'refused' end,
         null, null, null, null, null, null
    from item i
    where (i.found and i.busy) or (i.known_seq is null and (not i.found or i.judged <> i.rights_rev or not i.allowed))
  order by 1;
end $$;`;
}

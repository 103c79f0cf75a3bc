import { useIndexes } from './planner-settings.ts';

/**
 * The function of `Migration20261127040000_straight_append`, whose comment describes it.
 *
 * `any(array[…])` instead of `=` keeps the order of the locks: PostgreSQL cannot read the rooms in the order of an index and
 * look for each of them in the list, so it reads the list and looks up its rooms one after the other.
 */
export function createAppendStraight({ hasJournal }: { hasJournal: boolean }): string {
  return `
create or replace function append_straight(
  p_rooms bigint[], p_counts int[], p_judged bigint[],
  p_slot int[], p_nth int[], p_emitter uuid[], p_content text[], p_client text[]
) returns table (ids text, seqs text, revs text, ats text)
language plpgsql set lock_timeout = '50ms' set plan_cache_mode = force_generic_plan ${useIndexes} as $$
declare
  v_now timestamptz := date_trunc('milliseconds', clock_timestamp());
  v_seq bigint[];
  v_rev bigint[];
  v_at timestamptz[];
  v_id bigint[];
begin
  if array_length(array_remove(p_client, null), 1) > 0 and exists (
    select 1 from unnest(p_slot, p_emitter, p_client) as i(slot, emitter, client)
    join messages m on m.room_id = p_rooms[i.slot] and m.emitter = i.emitter and m.client_msg_id = i.client
    where i.client is not null
  ) then
    return;
  end if;
  with moved as (
    update rooms r
    set last_seq = r.last_seq + i.count, last_rev = r.last_rev + i.count,
        last_change_at = greatest(v_now, r.last_change_at)${hasJournal ? ', active_at = greatest(v_now, r.last_change_at)' : ''}
    from unnest(p_rooms, p_counts, p_judged) with ordinality as i(room, count, judged, ord)
    where r.id = any(array[i.room]) and r.rights_rev = i.judged
    returning i.ord, r.last_seq - i.count as seq, r.last_rev - i.count as rev, r.last_change_at as at
  )
  select array_agg(m.seq order by m.ord), array_agg(m.rev order by m.ord), array_agg(m.at order by m.ord)
    into v_seq, v_rev, v_at from moved m;
  if cardinality(v_seq) is distinct from cardinality(p_rooms) then
    raise exception 'not straight' using errcode = 'NM001';
  end if;
  v_id := array(select nextval('messages_id_seq') from generate_series(1, cardinality(p_slot)));
  ${hasJournal ? 'with touched as (insert into touches (what, room_id) select 1, unnest(p_rooms))\n  ' : ''}insert into messages (id, room_id, seq, rev, emitter, content, client_msg_id, created_at, updated_at)
  select v_id[i.ord], p_rooms[i.slot], v_seq[i.slot] + i.nth, v_rev[i.slot] + i.nth, i.emitter, i.content, i.client,
         v_at[i.slot], v_at[i.slot]
  from unnest(p_slot, p_nth, p_emitter, p_content, p_client) with ordinality as i(slot, nth, emitter, content, client, ord);
  return query select array_to_string(v_id, ','), array_to_string(v_seq, ','), array_to_string(v_rev, ','),
    (select string_agg((extract(epoch from a.at) * 1000)::bigint::text, ',' order by a.ord)
     from unnest(v_at) with ordinality as a(at, ord));
end $$;`;
}

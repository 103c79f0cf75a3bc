import { useIndexes } from './planner-settings.ts';

/** The function of `Migration20261127040000_straight_append`, whose comment describes it. */
export function createAppendStraight({ hasJournal }: { hasJournal: boolean }): string {
  return `
create or replace function append_straight(
  p_rooms bigint[], p_counts int[], p_judged bigint[],
  p_slot int[], p_nth int[], p_emitter uuid[], p_content text[], p_client text[]
) returns table (ids text, seqs text, revs text, ats text)
language plpgsql set lock_timeout = '50ms' ${useIndexes} as $$
declare
  v_now timestamptz := date_trunc('milliseconds', clock_timestamp());
  v_seq bigint[];
  v_rev bigint[];
  v_at timestamptz[];
  v_id bigint[];
  v_moved record;
begin
  if array_length(array_remove(p_client, null), 1) > 0 and exists (
    select 1 from unnest(p_slot, p_emitter, p_client) as i(slot, emitter, client)
    join messages m on m.room_id = p_rooms[i.slot] and m.emitter = i.emitter and m.client_msg_id = i.client
    where i.client is not null
  ) then
    return;
  end if;
  for v_slot in 1 .. cardinality(p_rooms) loop
    update rooms r
    set last_seq = r.last_seq + p_counts[v_slot], last_rev = r.last_rev + p_counts[v_slot],
        last_change_at = greatest(v_now, r.last_change_at)${hasJournal ? ', active_at = greatest(v_now, r.last_change_at)' : ''}
    where r.id = p_rooms[v_slot] and r.rights_rev = p_judged[v_slot]
    returning r.last_seq - p_counts[v_slot] as seq, r.last_rev - p_counts[v_slot] as rev, r.last_change_at as at
      into v_moved;
    if not found then
      raise exception 'not straight' using errcode = 'NM001';
    end if;
    v_seq[v_slot] := v_moved.seq;
    v_rev[v_slot] := v_moved.rev;
    v_at[v_slot] := v_moved.at;
  end loop;
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

/**
 * How many messages after `p_seq` count for the user and mention them, their organisation or everybody, replies in threads
 * included; at most 100. Each mentioning message is looked up by a subquery. For a join, the planner would read all messages
 * after `p_seq` and look for mentions of each, if its statistics say that a room has few messages.
 */
export const mentionsAfter = `
create or replace function mentions_after(p_room bigint, p_last_seq bigint, p_seq bigint, p_user uuid, p_entity uuid)
returns table (count int) language sql stable as $$
  select case when p_seq >= p_last_seq then 0 else (
    select least(count(distinct x.seq), 100)::int from (
      (select n.seq from mentions n where n.room_id = p_room and n.grantee = p_user and n.seq > p_seq
        order by n.seq desc limit 100)
      union all (select n.seq from mentions n where n.room_id = p_room and n.grantee = p_entity and n.seq > p_seq
        order by n.seq desc limit 100)
      union all (select n.seq from mentions n where n.room_id = p_room
        and n.grantee = '00000000-0000-0000-0000-000000000000' and n.seq > p_seq order by n.seq desc limit 100)
    ) x
    where (
      select m.emitter <> p_user and m.deleted_at is null and coalesce(m.flags, 0) & 1 = 0
      from messages m where m.room_id = p_room and m.seq = x.seq
    )
  ) end
$$;`;

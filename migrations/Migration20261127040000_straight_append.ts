import { Migration } from '@mikro-orm/migrations';

const appendMessages = 'append_messages(bigint[], uuid[], text[], text[], boolean[], bigint[])';
const switchedOff = ['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin', 'jit'];

/**
 * `append_straight` stores a batch without exceptional cases: every message is permitted by the rights at which it was
 * authorized, no message is a duplicate, and no room is locked for long. It locks the rooms and assigns the numbers in one
 * statement, so it costs half as much as `append_messages`. In every other case it stores nothing. If a message is a
 * duplicate of a stored message, it returns no rows. Otherwise it fails: with NM001 if rights have changed or a room is
 * deleted, with 23505 for a duplicate that is being stored at the same time, and with 55P03 if a room is locked. The caller
 * then passes the batch to `append_messages`, which answers each message separately.
 *
 * The caller passes the rooms in ascending order, and the function locks them one by one in this order. A join of all rooms
 * would not guarantee the order: the planner would choose it by statistics, which at first are those of an empty table.
 *
 * Both functions are made to always use the indexes. Each connection caches their plans. A plan that was made for a small
 * table would read the whole table until the next ANALYZE, which made a new service eight times slower within a minute.
 *
 * Messages are stored, and rooms are deleted, only under the lock of the room. So no foreign key needs to be checked for
 * each message; instead, a trigger deletes the messages of a deleted room. Half of each page of `rooms` is left free, so
 * that PostgreSQL can update the counters without writing to an index.
 */
export class Migration20261127040000_straight_append extends Migration {
  override name = 'Migration20261127040000_straight_append';

  override up(): void {
    this.addSql(`alter table "messages" drop constraint "messages_room_id_foreign";`);
    this.addSql(`
create function delete_messages_of_room() returns trigger language plpgsql set enable_seqscan = off as $$
begin
  delete from messages where room_id = old.id;
  return null;
end $$;`);
    this.addSql(
      'create trigger rooms_delete_messages after delete on rooms for each row execute function delete_messages_of_room();',
    );
    this.addSql('alter table rooms set (fillfactor = 50);');
    for (const setting of switchedOff) this.addSql(`alter function ${appendMessages} set ${setting} = off;`);
    this.addSql(`
create function append_straight(
  p_rooms bigint[], p_counts int[], p_judged bigint[],
  p_slot int[], p_nth int[], p_emitter uuid[], p_content text[], p_client text[]
) returns table (ids text, seqs text, revs text, ats text)
language plpgsql set lock_timeout = '50ms' ${switchedOff.map((setting) => `set ${setting} = off`).join(' ')} as $$
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
        last_change_at = greatest(v_now, r.last_change_at)
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
  insert into messages (id, room_id, seq, rev, emitter, content, client_msg_id, created_at, updated_at)
  select v_id[i.ord], p_rooms[i.slot], v_seq[i.slot] + i.nth, v_rev[i.slot] + i.nth, i.emitter, i.content, i.client,
         v_at[i.slot], v_at[i.slot]
  from unnest(p_slot, p_nth, p_emitter, p_content, p_client) with ordinality as i(slot, nth, emitter, content, client, ord);
  return query select array_to_string(v_id, ','), array_to_string(v_seq, ','), array_to_string(v_rev, ','),
    (select string_agg((extract(epoch from a.at) * 1000)::bigint::text, ',' order by a.ord)
     from unnest(v_at) with ordinality as a(at, ord));
end $$;`);
  }

  override down(): void {
    this.addSql('drop function append_straight(bigint[], int[], bigint[], int[], int[], uuid[], text[], text[]);');
    this.addSql(`alter function ${appendMessages} reset all;`);
    this.addSql('alter table rooms reset (fillfactor);');
    this.addSql('drop trigger rooms_delete_messages on rooms;');
    this.addSql('drop function delete_messages_of_room();');
    this.addSql(
      `alter table "messages" add constraint "messages_room_id_foreign" foreign key ("room_id") references "rooms" ("id") on delete cascade;`,
    );
  }
}

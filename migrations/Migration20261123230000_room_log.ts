import { Migration } from '@mikro-orm/migrations';

/**
 * The two functions of the room log. This migration is written by hand, because the schema comparison of the ORM ignores
 * functions.
 *
 * `append_messages` stores a batch of messages in one statement and returns an outcome for each message. The caller passes
 * whether the sender may send the message (`p_allowed`), and the `rights_rev` at which this was decided. If the rights of
 * the room have changed since then, the outcome is `stale`, and the caller must authorize the message again. A duplicate
 * `client_msg_id` is detected before the permission is checked. A batch must not contain the same room, emitter and
 * `client_msg_id` twice.
 *
 * Rooms are locked in the order of their ids. If another transaction keeps a room locked for more than a short time, the
 * outcome is `busy`, so that this room does not delay the messages of the other rooms. The function is written in PL/pgSQL,
 * because each statement in it sees what other transactions have committed while the previous statement waited for a lock.
 * A single SQL statement would not see this.
 *
 * `seq_at` returns the lowest `seq` of a room whose message is not older than `p_at`. It uses binary search, because the
 * times in a room never decrease.
 */
export class Migration20261123230000_room_log extends Migration {
  override name = 'Migration20261123230000_room_log';

  override up(): void {
    this.addSql(`
create function append_messages(
  p_room bigint[], p_emitter uuid[], p_content text[], p_client text[], p_allowed boolean[], p_judged bigint[]
) returns table (o_ord bigint, o_outcome text, o_id bigint, o_seq bigint, o_rev bigint, o_at timestamptz, o_updated timestamptz, o_content text)
language plpgsql as $$
declare
  v_now timestamptz;
  v_locked bigint[];
  v_others bigint[];
begin
  select array_agg(l.id) into v_locked from (
    select r.id from rooms r where r.id = any(p_room) order by r.id for no key update skip locked
  ) l;
  select array_agg(r.id) into v_others from rooms r where r.id = any(p_room) and not r.id = any(coalesce(v_locked, '{}'));
  if v_others is not null then
    perform set_config('lock_timeout', '50ms', true);
    begin
      perform 1 from rooms r where r.id = any(v_others) order by r.id for no key update;
      v_locked := v_locked || v_others;
    exception when lock_not_available then
      null;
    end;
  end if;
  v_now := date_trunc('milliseconds', clock_timestamp());
  return query
  with item as materialized (
    select i.*, r.id is not null as found, not i.room_id = any(coalesce(v_locked, '{}')) as busy, r.rights_rev, r.last_seq, r.last_rev, greatest(v_now, r.last_change_at) as at,
           m.seq as known_seq
    from unnest(p_room, p_emitter, p_content, p_client, p_allowed, p_judged)
         with ordinality as i(room_id, emitter, content, client, allowed, judged, ord)
    left join rooms r on r.id = i.room_id
    left join messages m on m.room_id = i.room_id and m.emitter = i.emitter and m.client_msg_id = i.client
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
    update rooms r set last_seq = r.last_seq + c.n, last_rev = r.last_rev + c.n, last_change_at = c.at
    from (select f.room_id, count(*) as n, max(f.at) as at from fresh f group by f.room_id) c
    where r.id = c.room_id
  )
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
end $$;`);

    this.addSql(`
create function seq_at(p_room bigint, p_at timestamptz) returns bigint language plpgsql stable as $$
declare
  v_low bigint := 1;
  v_high bigint;
  v_middle bigint;
  v_seq bigint;
  v_created timestamptz;
begin
  select last_seq + 1 into v_high from rooms where id = p_room;
  while v_low < v_high loop
    v_middle := (v_low + v_high) / 2;
    select seq, created_at into v_seq, v_created from messages
      where room_id = p_room and seq >= v_middle order by seq limit 1;
    if v_seq is null or v_created >= p_at then
      v_high := v_middle;
    else
      v_low := v_seq + 1;
    end if;
  end loop;
  return v_low;
end $$;`);
  }

  override down(): void {
    this.addSql('drop function seq_at(bigint, timestamptz);');
    this.addSql('drop function append_messages(bigint[], uuid[], text[], text[], boolean[], bigint[]);');
  }
}

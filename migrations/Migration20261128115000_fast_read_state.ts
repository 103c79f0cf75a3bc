import { Migration } from '@mikro-orm/migrations';
import { mentionsAfter } from './functions/mentions-after.ts';
import { useIndexesInOrder } from './functions/planner-settings.ts';
import { ms, ruleJson } from './functions/sql-fragments.ts';
import { hasReceipts, updatePosition, writtenPositions } from './functions/write-positions.ts';

/** Whether something after the position is unread. Stops at the first message. */
const hasUnread = (seq: string) => `(r.last_seq - ${seq} > 500 or coalesce((
        select true from messages m
        where m.room_id = r.id and m.seq > ${seq} and m.emitter <> p_user and is_counted(m) order by m.seq limit 1
      ), false))`;

/**
 * Makes marks and inboxes cheaper. The functions return the same as before.
 *
 * PostgreSQL inlines an SQL function that is called in `from`, and plans it with the caller. A call in an expression runs
 * the function's own plan each time, which costs more than its reads. Hence `unread_after`, `mentions_after`,
 * `moved_position` and `initial_position` return tables. Bitmap scans are off, because they find all messages after a
 * position before the first one is counted.
 *
 * `write_positions` has a second form, with the `rights_rev` at which each write was authorized. It writes and returns
 * nothing if one of them is outdated, so the rules need not be read for each batch. Null means that they are current.
 *
 * `initial_position` is `first_position` without a search in the common cases: if the room has not changed since the user
 * was first seen, and if `p_times`, the times of the room's newest messages, go back far enough. `seq_at` looks at the
 * newest message first, and reads the last few messages in one statement. `imported_seq` is a column of a later migration;
 * PL/pgSQL looks for it only when it runs.
 */
export class Migration20261128115000_fast_read_state extends Migration {
  override name = 'Migration20261128115000_fast_read_state';

  override up(): void {
    this.addSql(`
create or replace function seq_at(p_room bigint, p_at timestamptz) returns bigint language plpgsql stable as $$
declare
  v_low bigint := 1;
  v_high bigint;
  v_middle bigint;
  v_seq bigint;
  v_created timestamptz;
begin
  select last_seq + 1 into v_high from rooms where id = p_room;
  select created_at into v_created from messages where room_id = p_room and seq < v_high order by seq desc limit 1;
  if v_created is null or v_created < p_at then
    return coalesce(v_high, 1);
  end if;
  while v_low + 32 < v_high loop
    v_middle := (v_low + v_high) / 2;
    select seq, created_at into v_seq, v_created from messages
      where room_id = p_room and seq >= v_middle order by seq limit 1;
    if v_seq is null or v_created >= p_at then
      v_high := v_middle;
    else
      v_low := v_seq + 1;
    end if;
  end loop;
  select seq into v_seq from messages
    where room_id = p_room and seq >= v_low and seq < v_high and created_at >= p_at order by seq limit 1;
  return coalesce(v_seq, v_high);
end $$;`);

    this.addSql(`
create or replace function initial_position(
  p_room bigint, p_last_seq bigint, p_last_change timestamptz, p_imported bigint, p_user uuid, p_entity uuid,
  p_times timestamptz[]
) returns table (seq bigint) language sql stable as $$
  select greatest(p_imported, case when o.grantee is not null then coalesce(o.from_seq, f.seq) else greatest(f.seq, e.from_seq) end)
  from (select 1) one
  left join users_seen u on u.user_uuid = p_user
  left join permission_rules o on o.room_id = p_room and o.grantee = p_user and o.kind <> 'entity'
  left join permission_rules e on e.room_id = p_room and e.grantee = p_entity and e.kind <> 'user'
  cross join lateral (select greatest(o.created_at, u.at) as at) a
  cross join lateral (select case
    when u.at is null or p_last_change < a.at then p_last_seq
    when a.at > p_times[1] then p_last_seq - cardinality(p_times) + width_bucket(a.at - interval '1 microsecond', p_times)
    else seq_at(p_room, a.at) - 1 end as seq) f
$$;`);

    // How many messages after `p_seq` count for the user: exact to 99, and 100 if more than 500 messages lie after it.
    this.addSql(`
create or replace function unread_after(p_room bigint, p_last_seq bigint, p_seq bigint, p_user uuid) returns table (count int)
language sql stable as $$
  select case when p_seq >= p_last_seq then 0 when p_last_seq - p_seq > 500 then 100 else (
    select count(*)::int from (
      select 1 from messages m
      where m.room_id = p_room and m.seq > p_seq and m.emitter <> p_user and is_counted(m) limit 100
    ) counted
  ) end
$$;`);

    this.addSql(mentionsAfter);

    // Where a mark moves the position \`p_from\`. Unless it is forced, it moves past own and deleted messages, at most 500.
    this.addSql(`
create or replace function moved_position(
  p_room bigint, p_last_seq bigint, p_user uuid, p_from bigint, p_seq bigint, p_force boolean
) returns table (seq bigint) language sql stable as $$
  select case
    when p_force then least(p_seq, p_last_seq)
    when greatest(p_from, p_seq) >= p_last_seq then p_last_seq
    else coalesce((
      select m.seq - 1 from messages m
      where m.room_id = p_room and m.seq > greatest(p_from, p_seq) and m.seq <= greatest(p_from, p_seq) + 500
        and m.emitter <> p_user and m.deleted_at is null
      order by m.seq limit 1
    ), least(p_last_seq, greatest(p_from, p_seq) + 500))
  end
$$;`);

    this.addSql(writePositions);
    this.addSql(inboxItems);
    this.addSql(inboxRooms);
  }

  /** Earlier versions work with the replaced functions, which have kept their signatures. */
  override down(): void {
    this.addSql(`drop function write_positions(bigint[], uuid[], uuid[], int[], bigint[], boolean[], boolean[], boolean[],
      boolean[], bigint[]);`);
  }
}

/** The position of a user without a mark. `room` and `person` are the aliases that have the columns. */
const initialPosition = (room: string, person: string, times = 'null') => `(
      select p.seq from initial_position(${room}.id, ${room}.last_seq, ${room}.last_change_at, ${room}.imported_seq,
        ${person}.user_uuid, ${person}.entity, ${times}) p
    )`;

/** The position of the row `s` after the write `i`. It stays null if it was and the mark does not move it. */
const nextPosition = `(
      select case when i.seq is null then s.read_seq else (
        select coalesce(nullif(m.seq, f.seq), s.read_seq)
        from (select coalesce(s.read_seq, ${initialPosition('i', 'i')}) as seq offset 0) f
        cross join lateral moved_position(i.id, i.last_seq, i.user_uuid, f.seq, i.seq, i.force) m
      ) end
    )`;

const givenWrites = `unnest(p_room, p_user, p_entity, p_level, p_seq, p_force, p_quiet, p_muted, p_hidden)
      as g(room_id, user_uuid, entity, level, seq, force, quiet, muted, hidden)`;

const writePositions = `
create or replace function write_positions(
  p_room bigint[], p_user uuid[], p_entity uuid[], p_level int[],
  p_seq bigint[], p_force boolean[], p_quiet boolean[], p_muted boolean[], p_hidden boolean[], p_rights_rev bigint[]
) returns ${writtenPositions}
language plpgsql set plan_cache_mode = force_generic_plan ${useIndexesInOrder} as $$
begin
  if p_rights_rev is not null and exists (
    select 1 from unnest(p_room, p_rights_rev) as g(room_id, rights_rev) left join rooms r on r.id = g.room_id
    where r.rights_rev is distinct from g.rights_rev
  ) then
    return;
  end if;

  insert into positions (room_id, user_uuid, read_seq, receipt_seq, version, muted, hidden_seq, entity, level)
  select i.id, i.user_uuid, n.seq, case when not i.quiet and n.seq > n.start then n.seq end, 1,
    coalesce(i.muted, false), case when i.hidden then i.last_seq end, i.entity, i.level
  from (
    select g.*, r.* from ${givenWrites}
    join rooms r on r.id = g.room_id
    where not exists (select 1 from positions s where s.room_id = g.room_id and s.user_uuid = g.user_uuid)
    offset 0
  ) i
  cross join lateral (select ${initialPosition('i', 'i')} as seq offset 0) f
  cross join lateral (
    select f.seq as start, case when i.seq is not null then (
      select nullif(m.seq, f.seq) from moved_position(i.id, i.last_seq, i.user_uuid, f.seq, i.seq, i.force) m
    ) end as seq offset 0
  ) n
  where n.seq is not null or i.muted or i.hidden
  order by i.id, i.user_uuid
  on conflict (room_id, user_uuid) do nothing;

  ${updatePosition(`${nextPosition} as seq offset 0`)}
  from (
    select g.*, r.id, r.last_seq, r.last_change_at, r.imported_seq from ${givenWrites}
    join rooms r on r.id = g.room_id
    order by g.room_id, g.user_uuid
  ) i
  where s.room_id = i.room_id and s.user_uuid = i.user_uuid and (
    ${nextPosition} is distinct from s.read_seq
    or i.muted <> s.muted or not i.hidden and s.hidden_seq is not null
    or i.hidden and (s.hidden_seq is null or (
      select a.count > 0 from unread_after(i.room_id, i.last_seq, s.hidden_seq, i.user_uuid) a
    ))
  );

  return query
  select i.ord, f.seq, s.receipt_seq, coalesce(s.version, 0), coalesce(s.muted, false),
    s.hidden_seq is not null and (
      select a.count = 0 from unread_after(r.id, r.last_seq, s.hidden_seq, i.user_uuid) a
    ),
    u.count, m.count, coalesce(s.xmin = pg_current_xact_id_if_assigned()::xid, false),
    ${hasReceipts}
  from unnest(p_room, p_user, p_entity) with ordinality as i(room_id, user_uuid, entity, ord)
  join rooms r on r.id = i.room_id
  left join positions s on s.room_id = i.room_id and s.user_uuid = i.user_uuid
  cross join lateral (select coalesce(s.read_seq, ${initialPosition('r', 'i')}) as seq offset 0) f
  cross join lateral unread_after(r.id, r.last_seq, f.seq, i.user_uuid) u
  cross join lateral mentions_after(r.id, r.last_seq, f.seq, i.user_uuid, i.entity) m;
end $$;`;

const inboxItems = `
create or replace function inbox_items(
  p_rooms bigint[], p_grantees_from int[], p_grantees_to int[], p_grantees uuid[],
  p_users_from int[], p_users_to int[], p_users uuid[], p_entities uuid[]
) returns table (o_room json)
language plpgsql stable set plan_cache_mode = force_generic_plan ${useIndexesInOrder} as $$
begin
  return query
  select json_build_object('id', r.id, 'uuid', r.uuid, 'name', r.name, 'type', r.type, 'level_admin', r.level_admin,
    'user_owner', r.user_owner, 'entity_owner', r.entity_owner, 'max_entity_rules', r.max_entity_rules,
    'last_seq', r.last_seq, 'last_rev', r.last_rev, 'rights_rev', r.rights_rev, 'changed', ${ms('r.last_change_at')},
    'created', ${ms('r.created_at')}, 'updated', ${ms('r.updated_at')}, 'custom', c.custom, 'receipts', r.receipts,
    'readers_react', r.readers_react, 'active', ${ms('coalesce(r.active_at, r.last_change_at)')},
    'rules', coalesce((
      select json_agg(${ruleJson('p')}) from unnest(p_grantees[w.grantees_from : w.grantees_to]) as g(grantee)
      join permission_rules p on p.room_id = r.id and p.grantee = g.grantee
    ), '[]'),
    'last', (
      select json_build_object('seq', m.seq, 'emitter', m.emitter, 'content', left(m.content, 256), 'version', m.version,
        'rev', m.rev, 'custom', case when octet_length(m.custom) <= 1024 then m.custom end, 'at', ${ms('m.created_at')},
        'updated', ${ms('m.updated_at')}, 'edited', ${ms('m.edited_at')})
      from messages m
      where m.room_id = r.id and m.seq > r.last_seq - 200 and is_counted(m)
      order by m.seq desc limit 1
    ),
    'recent', n.recent,
    'mentioned', case when w.is_crowd then (
      select json_agg(json_build_array(g.grantee, n.seq, m.emitter))
      from (
        select unnest(p_grantees[w.grantees_from : w.grantees_to]) union all select '00000000-0000-0000-0000-000000000000'
      ) as g(grantee)
      cross join lateral (
        select x.seq from mentions x where x.room_id = r.id and x.grantee = g.grantee order by x.seq desc limit 100
      ) n
      join messages m on m.room_id = r.id and m.seq = n.seq
      where m.deleted_at is null and coalesce(m.flags, 0) & 1 = 0
    ) end,
    'people', (
      select json_agg(json_build_array(f.seq, coalesce(s.version, 0), coalesce(s.muted, false),
        case when f.seq >= r.last_seq then 0
          when not w.is_crowd then (select a.count from unread_after(r.id, r.last_seq, f.seq, u.user_uuid) a) end,
        s.hidden_seq,
        case when not w.is_crowd and s.hidden_seq is not null
          then (select a.count from unread_after(r.id, r.last_seq, s.hidden_seq, u.user_uuid) a) end,
        case when f.seq >= r.last_seq then 0
          when not w.is_crowd then (select a.count from mentions_after(r.id, r.last_seq, f.seq, u.user_uuid, u.entity) a)
        end) order by u.n)
      from unnest(p_users[w.users_from : w.users_to], p_entities[w.users_from : w.users_to])
        with ordinality as u(user_uuid, entity, n)
      left join positions s on s.room_id = r.id and s.user_uuid = u.user_uuid
      cross join lateral (select coalesce(s.read_seq, ${initialPosition('r', 'u', 'n.times')}) as seq offset 0) f
    ))
  from (
    select *, users_to - users_from >= 8 as is_crowd
    from unnest(p_rooms, p_grantees_from, p_grantees_to, p_users_from, p_users_to)
      as w(id, grantees_from, grantees_to, users_from, users_to)
  ) w
  join rooms r on r.id = w.id
  left join room_custom c on c.room_id = r.id
  cross join lateral (
    select json_agg(json_build_array(m.seq, m.emitter)) filter (where is_counted(m)) as recent,
      array_agg(m.created_at order by m.seq) as times
    from messages m where w.is_crowd and m.room_id = r.id and m.seq > r.last_seq - 500
  ) n;
end $$;`;

const inboxRooms = `
create or replace function inbox_rooms(p_user uuid, p_entity uuid, p_level float8, p_unread boolean)
returns table (o_rooms json)
language plpgsql stable set plan_cache_mode = force_generic_plan ${useIndexesInOrder} as $$
begin
  return query
  with mine as (
    select p.room_id from permission_rules p where p.grantee = p_user
    union select p.room_id from permission_rules p where p.grantee = p_entity
    union select r.id from rooms r where r.entity_owner = p_entity and r.level_admin <= p_level
  )
  select json_agg(json_build_array(r.id, ${ms('a.at')}, r.type, r.level_admin, r.user_owner, r.entity_owner,
      case when o.grantee is not null then ${ruleJson('o')} end, case when e.grantee is not null then ${ruleJson('e')} end,
      h.hidden,
      case when p_unread and r.last_seq > f.seq and not h.hidden then
        (not coalesce(s.muted, false) and ${hasUnread('f.seq')})
        or (select m.count > 0 from mentions_after(r.id, r.last_seq, f.seq, p_user, p_entity) m)
      else false end) order by a.at desc, r.id desc)
  from mine
  join rooms r on r.id = mine.room_id
  left join permission_rules o on o.room_id = r.id and o.grantee = p_user
  left join permission_rules e on e.room_id = r.id and e.grantee = p_entity and p_entity <> p_user
  left join positions s on s.room_id = r.id and s.user_uuid = p_user
  cross join lateral (select p_user as user_uuid, p_entity as entity) u
  cross join lateral (select greatest(coalesce(r.active_at, r.last_change_at), o.created_at) as at) a
  cross join lateral (
    select case when p_unread then coalesce(s.read_seq, ${initialPosition('r', 'u')}) end as seq offset 0
  ) f
  cross join lateral (select s.hidden_seq is not null and not ${hasUnread('s.hidden_seq')} as hidden offset 0) h;
end $$;`;

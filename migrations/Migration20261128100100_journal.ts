import { Migration } from '@mikro-orm/migrations';
import { createAppendMessages } from './functions/append-messages.ts';
import { createAppendStraight } from './functions/append-straight.ts';
import { useIndexes } from './functions/planner-settings.ts';
import { ms, ruleJson } from './functions/sql-fragments.ts';

/**
 * The journal of what an inbox shows. Each transaction that changes something for the inboxes adds rows to `touches`, and
 * each node with open inboxes polls them. A poll asks for the transactions that its previous snapshot did not contain, so
 * a transaction that commits late is never missed. The tables are unlogged: the journal costs no WAL. A crash of
 * PostgreSQL, also of one backend, empties them without another trace, so `touches_epoch` is emptied with `touches`: a
 * node that finds another epoch, or none, reads everything again.
 *
 * `what` says what has changed:
 *
 * | what | change | room_id | grantee |
 * | --- | --- | --- | --- |
 * | 1 | messages were sent | the room | null |
 * | 2 | messages were edited, deleted or reacted to | the room | null |
 * | 3 | the room was created or changed | the room | its `entity_owner` |
 * | 4 | the room was deleted | the room | null |
 * | 5 | a rule was created, changed or removed | the room | the rule's grantee |
 * | 6 | a user's read position or personal settings changed | the room | the user |
 *
 * A row without a grantee concerns everybody who can read the room. 1 and 2 have one row per room and batch. The triggers
 * on `rooms` name the columns that they watch, so the updates of the counters at each send do not start them.
 *
 * `rooms.active_at` is the time of the newest message that is neither silent nor a reply; null means `last_change_at`.
 * The first change of a room that is not a message fixes the value, so that the change does not move the room.
 *
 * `append_straight` and `append_messages` keep their signatures: nodes of the previous version call them, too.
 */
export class Migration20261128100100_journal extends Migration {
  override name = 'Migration20261128100100_journal';

  override up(): void {
    this.addSql(`create unlogged table touches (xid xid8 not null default pg_current_xact_id(), what smallint not null,
      room_id bigint not null, grantee uuid null);`);
    this.addSql('create index touches_xid_index on touches (xid);');
    this.addSql('create unlogged table touches_epoch (id uuid not null);');

    // The first node that finds no epoch begins one. The lock makes the others find it.
    this.addSql(`
create function begin_touches_epoch() returns void language plpgsql as $$
begin
  perform pg_advisory_xact_lock(7777002);
  insert into touches_epoch (id) select gen_random_uuid() where not exists (select 1 from touches_epoch);
end $$;`);

    // What has been committed since the snapshot `p_before`. A restored copy of the table can contain transactions of the
    // future; they are left out.
    this.addSql(`
create function touches_since(p_before pg_snapshot) returns table (o_what smallint, o_room bigint, o_grantee uuid)
language plpgsql stable ${useIndexes} as $$
begin
  return query
  select distinct t.what, t.room_id, t.grantee from touches t
  where t.xid >= pg_snapshot_xmax(p_before) and t.xid < pg_snapshot_xmax(pg_current_snapshot())
  union
  select t.what, t.room_id, t.grantee from touches t
  where t.xid = any(array(select pg_snapshot_xip(p_before)));
end $$;`);

    // Deletes what every node has seen that polled after the snapshot `p_before`. One node at a time. A snapshot of another
    // epoch or of the future comes from before a crash or a restore, and says nothing about these rows.
    this.addSql(`
create function forget_touches(p_before pg_snapshot, p_epoch uuid) returns bigint language plpgsql ${useIndexes} as $$
declare
  v_count bigint;
begin
  if pg_snapshot_xmax(p_before) > pg_snapshot_xmax(pg_current_snapshot()) or not exists (select 1 from touches_epoch where id = p_epoch)
    or not pg_try_advisory_xact_lock(7777003) then
    return 0;
  end if;
  delete from touches t where t.xid < pg_snapshot_xmin(p_before) or t.xid >= pg_snapshot_xmax(pg_current_snapshot());
  get diagnostics v_count = row_count;
  return v_count;
end $$;`);

    this.addSql(`
create function touch_room() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    insert into touches (what, room_id) values (4, old.id);
  else
    insert into touches (what, room_id, grantee) values (3, new.id, new.entity_owner);
  end if;
  return null;
end $$;`);
    this.addSql(
      'create trigger rooms_touch after insert or delete on rooms for each row execute function touch_room();',
    );
    this.addSql(`create trigger rooms_touch_changed
      after update of name, type, level_admin, user_owner, entity_owner, max_entity_rules, updated_at, receipts, readers_react
      on rooms for each row execute function touch_room();`);

    // The rules of a deleted room need no rows: the row of the room concerns everybody.
    this.addSql(`
create function touch_rules() returns trigger language plpgsql ${useIndexes} as $$
begin
  insert into touches (what, room_id, grantee)
  select 5, c.room_id, c.grantee from changed c where exists (select 1 from rooms r where r.id = c.room_id);
  return null;
end $$;`);
    for (const [event, table] of [
      ['insert', 'new'],
      ['update', 'new'],
      ['delete', 'old'],
    ]) {
      this.addSql(`create trigger permission_rules_touch_${event} after ${event} on permission_rules
        referencing ${table} table as changed for each statement execute function touch_rules();`);
    }

    // Changes of rights are the changes that are not messages. The trigger has no condition: each send would pay for it.
    this.addSql(`
create function fix_active_at() returns trigger language plpgsql as $$
begin
  if new.active_at is null and new.last_change_at <> old.last_change_at then
    update rooms r set active_at = old.last_change_at where r.id = old.id;
  end if;
  return null;
end $$;`);
    this.addSql(
      'create trigger rooms_fix_active_at after update of rights_rev on rooms for each row execute function fix_active_at();',
    );

    this.addSql(createAppendStraight({ hasJournal: true }));
    this.addSql(createAppendMessages({ hasJournal: true }));

    // Whether a message counts as unread for everybody but its emitter, and can be the last message of an item.
    this.addSql(`
create function is_counted(m messages) returns boolean language sql immutable as $$
  select m.thread is null and m.deleted_at is null and coalesce(m.flags, 0) & 1 = 0
$$;`);

    // How many messages after `p_seq` count for the user: exact to 99, and 100 if more than 500 messages lie after it.
    this.addSql(`
create function count_unread(p_room bigint, p_last_seq bigint, p_seq bigint, p_user uuid) returns int
language sql stable as $$
  select case when p_seq >= p_last_seq then 0 when p_last_seq - p_seq > 500 then 100 else (
    select count(*)::int from (
      select 1 from messages m
      where m.room_id = p_room and m.seq > p_seq and m.emitter <> p_user and is_counted(m) limit 100
    ) counted
  ) end
$$;`);

    // The same for messages that mention the user, their organisation or everybody, replies in threads included.
    this.addSql(`
create function count_mentions(p_room bigint, p_seq bigint, p_user uuid, p_entity uuid) returns int
language sql stable as $$
  select least(count(distinct x.seq), 100)::int from (
    (select n.seq from mentions n where n.room_id = p_room and n.grantee = p_user and n.seq > p_seq
      order by n.seq desc limit 100)
    union all (select n.seq from mentions n where n.room_id = p_room and n.grantee = p_entity and n.seq > p_seq
      order by n.seq desc limit 100)
    union all (select n.seq from mentions n where n.room_id = p_room
      and n.grantee = '00000000-0000-0000-0000-000000000000' and n.seq > p_seq order by n.seq desc limit 100)
  ) x
  join messages m on m.room_id = p_room and m.seq = x.seq
  where m.emitter <> p_user and m.deleted_at is null and coalesce(m.flags, 0) & 1 = 0
$$;`);

    // Where the user has read to, and what they have set. Without a position, they have read what is older than their rule.
    this.addSql(`
create function read_state(p_room bigint, p_last_seq bigint, p_user uuid, p_entity uuid)
returns table (read_seq bigint, version bigint, muted boolean, hidden_seq bigint) language sql stable as $$
  select coalesce(
      (select seq_at(p_room, p.created_at) - 1 from permission_rules p where p.room_id = p_room and p.grantee = p_user),
      p_last_seq
    ), 0::bigint, false, null::bigint
$$;`);

    this.addSql(createInboxItems());
    this.addSql(createInboxRooms());
  }

  override down(): void {
    this.addSql('drop function inbox_rooms(uuid, uuid, float8, boolean);');
    this.addSql('drop function inbox_items(bigint[], int[], int[], uuid[], int[], int[], uuid[], uuid[]);');
    this.addSql('drop function read_state(bigint, bigint, uuid, uuid);');
    this.addSql('drop function count_mentions(bigint, bigint, uuid, uuid);');
    this.addSql('drop function count_unread(bigint, bigint, bigint, uuid);');
    this.addSql('drop function is_counted(messages);');
    this.addSql(createAppendMessages({ hasJournal: false }));
    this.addSql(createAppendStraight({ hasJournal: false }));
    this.addSql('drop trigger rooms_fix_active_at on rooms;');
    this.addSql('drop function fix_active_at();');
    for (const event of ['insert', 'update', 'delete'])
      this.addSql(`drop trigger permission_rules_touch_${event} on permission_rules;`);
    this.addSql('drop function touch_rules();');
    this.addSql('drop trigger rooms_touch_changed on rooms;');
    this.addSql('drop trigger rooms_touch on rooms;');
    this.addSql('drop function touch_room();');
    this.addSql('drop function forget_touches(pg_snapshot, uuid);');
    this.addSql('drop function touches_since(pg_snapshot);');
    this.addSql('drop function begin_touches_epoch();');
    this.addSql('drop table touches_epoch;');
    this.addSql('drop table touches;');
  }
}

/**
 * `inbox_items` reads what the items of many people in many rooms show, in one snapshot with the rules. Room `n` has the
 * grantees `p_grantees[p_grantees_from[n] : p_grantees_to[n]]`, whose rules are read, and in the same way its people in
 * `p_users` and `p_entities`. The functions are stable, so all their statements use the snapshot of the caller.
 *
 * In a room with many people, the newest 500 messages that count are read once, as `recent`, and up to 100 messages that
 * mention each grantee, as `mentioned`. The caller counts.
 */
function createInboxItems(): string {
  return `
create function inbox_items(
  p_rooms bigint[], p_grantees_from int[], p_grantees_to int[], p_grantees uuid[],
  p_users_from int[], p_users_to int[], p_users uuid[], p_entities uuid[]
) returns table (o_room json)
language plpgsql stable set plan_cache_mode = force_generic_plan ${useIndexes} as $$
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
    'recent', case when w.users_to - w.users_from >= 8 then (
      select json_agg(json_build_array(m.seq, m.emitter)) from messages m
      where m.room_id = r.id and m.seq > r.last_seq - 500 and is_counted(m)
    ) end,
    'mentioned', case when w.users_to - w.users_from >= 8 then (
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
      select json_agg(json_build_array(s.read_seq, s.version, s.muted,
        case when s.read_seq >= r.last_seq then 0
          when w.users_to - w.users_from < 8 then count_unread(r.id, r.last_seq, s.read_seq, u.user_uuid) end,
        s.hidden_seq,
        case when w.users_to - w.users_from < 8 and s.hidden_seq is not null
          then count_unread(r.id, r.last_seq, s.hidden_seq, u.user_uuid) end,
        case when s.read_seq >= r.last_seq then 0
          when w.users_to - w.users_from < 8 then count_mentions(r.id, s.read_seq, u.user_uuid, u.entity) end) order by u.n)
      from unnest(p_users[w.users_from : w.users_to], p_entities[w.users_from : w.users_to])
        with ordinality as u(user_uuid, entity, n)
      cross join lateral read_state(r.id, r.last_seq, u.user_uuid, u.entity) s
    ))
  from unnest(p_rooms, p_grantees_from, p_grantees_to, p_users_from, p_users_to)
    as w(id, grantees_from, grantees_to, users_from, users_to)
  join rooms r on r.id = w.id
  left join room_custom c on c.room_id = r.id;
end $$;`;
}

/**
 * `inbox_rooms` lists the rooms of a user in the order of their inbox: for each what its rights depend on, whether it is
 * hidden, and with `p_unread` whether it has something unread; a muted room only if the user is mentioned in it.
 */
function createInboxRooms(): string {
  return `
create function inbox_rooms(p_user uuid, p_entity uuid, p_level float8, p_unread boolean) returns table (o_rooms json)
language plpgsql stable set plan_cache_mode = force_generic_plan ${useIndexes} as $$
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
      case when p_unread and r.last_seq > s.read_seq and not h.hidden then
        not s.muted and count_unread(r.id, r.last_seq, s.read_seq, p_user) > 0
        or count_mentions(r.id, s.read_seq, p_user, p_entity) > 0
      else false end) order by a.at desc, r.id desc)
  from mine
  join rooms r on r.id = mine.room_id
  left join permission_rules o on o.room_id = r.id and o.grantee = p_user
  left join permission_rules e on e.room_id = r.id and e.grantee = p_entity and p_entity <> p_user
  cross join lateral (select greatest(coalesce(r.active_at, r.last_change_at), o.created_at) as at) a
  cross join lateral read_state(r.id, r.last_seq, p_user, p_entity) s
  cross join lateral (
    select s.hidden_seq is not null and count_unread(r.id, r.last_seq, s.hidden_seq, p_user) = 0 as hidden
  ) h;
end $$;`;
}

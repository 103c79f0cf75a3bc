import { Migration } from '@mikro-orm/migrations';
import { createAcceptInvitations } from './functions/accept-invitations.ts';
import { useIndexes } from './functions/planner-settings.ts';
import { hasReceipts, updatePosition, writtenPositions } from './functions/write-positions.ts';

/**
 * How far users have read, and their personal settings in each room.
 *
 * `positions.read_seq` is null if the user has settings, but has never marked anything. `receipt_seq` is what others may
 * see: marks that move back, and marks with the scope `receipts:hidden`, do not change it. `version` grows with every
 * change of the row. `hidden_seq` is the newest message when the user hid the room. `entity` and `level` are the claims of
 * the user's token, on which their rights depend. The table has no foreign key, because it would lock
 * the row of the room; only the primary key is indexed, so that updates are HOT.
 *
 * `permission_rules.from_seq` is the room's `last_seq` when the rule was made; null if an earlier version made it.
 *
 * `read_state` replaces the function of the journal. Without a position, what is older than the user's own rule is read.
 * If the rule does not say how old that is, or access comes from the organisation, what is older than the first request
 * of the user is read, too. What nobody has requested yet is read.
 *
 * `write_positions` stores a batch of marks and settings, at most one for each user and room. It inserts and updates rows
 * in the order of their keys, so that nodes cannot deadlock. The update uses only the values of the row itself, because
 * only they are read again after a wait for the row's lock. A mark moves past the user's own and deleted messages.
 *
 * `accept_invitations` keeps its signature, because nodes of the previous version call it, too. It records in
 * `room_changes.actor` who has accepted.
 */
export class Migration20261128100200_read_state extends Migration {
  override name = 'Migration20261128100200_read_state';

  override up(): void {
    this.addSql(`create table positions (room_id bigint not null, user_uuid uuid not null, read_seq bigint null,
      receipt_seq bigint null, version bigint not null, muted boolean not null, hidden_seq bigint null, entity uuid null,
      level int null, primary key (room_id, user_uuid)) with (fillfactor = 70);`);
    this.addSql(
      'create table users_seen (user_uuid uuid not null, at timestamptz(3) not null, primary key (user_uuid));',
    );
    this.addSql('alter table permission_rules add from_seq bigint null;');

    this.addSql(`
create function delete_positions_of_room() returns trigger language plpgsql set enable_seqscan = off as $$
begin
  delete from positions where room_id = old.id;
  return null;
end $$;`);
    this.addSql(
      'create trigger rooms_delete_positions after delete on rooms for each row execute function delete_positions_of_room();',
    );

    // The positions of a deleted room need no rows: the row of the room concerns everybody.
    this.addSql(`
create function touch_positions() returns trigger language plpgsql as $$
begin
  insert into touches (what, room_id, grantee) select 6, c.room_id, c.user_uuid from changed c;
  return null;
end $$;`);
    for (const event of ['insert', 'update']) {
      this.addSql(`create trigger positions_touch_${event} after ${event} on positions
        referencing new table as changed for each statement execute function touch_positions();`);
    }

    this.addSql(`
create function first_position(p_room bigint, p_last_seq bigint, p_user uuid, p_entity uuid) returns bigint
language sql stable as $$
  select coalesce(
    (select coalesce(p.from_seq, (
        select seq_at(p_room, greatest(p.created_at, u.at)) - 1 from users_seen u where u.user_uuid = p_user
      ), p_last_seq)
      from permission_rules p where p.room_id = p_room and p.grantee = p_user and p.kind <> 'entity'),
    (select greatest(seq_at(p_room, u.at) - 1, (
        select p.from_seq from permission_rules p
        where p.room_id = p_room and p.grantee = p_entity and p.kind <> 'user'
      ))
      from users_seen u where u.user_uuid = p_user),
    p_last_seq)
$$;`);

    this.addSql(
      createReadState(`
  select coalesce(s.read_seq, first_position(p_room, p_last_seq, p_user, p_entity)), coalesce(s.version, 0),
    coalesce(s.muted, false), s.hidden_seq
  from (select 1) one left join positions s on s.room_id = p_room and s.user_uuid = p_user`),
    );

    // The farthest position that has only own and deleted messages between itself and \`p_seq\`, at most 500 of them.
    this.addSql(`
create function skip_own(p_room bigint, p_last_seq bigint, p_seq bigint, p_user uuid) returns bigint
language sql stable as $$
  select case when p_seq >= p_last_seq then p_last_seq else coalesce((
    select m.seq - 1 from messages m
    where m.room_id = p_room and m.seq > p_seq and m.seq <= p_seq + 500 and m.emitter <> p_user and m.deleted_at is null
    order by m.seq limit 1
  ), least(p_last_seq, p_seq + 500)) end
$$;`);

    // Where a mark moves the position \`p_read_seq\`, which is null if the user has marked nothing yet.
    this.addSql(`
create function next_position(
  p_room bigint, p_last_seq bigint, p_user uuid, p_entity uuid, p_read_seq bigint, p_seq bigint, p_force boolean
) returns bigint language plpgsql stable ${useIndexes} as $$
declare
  v_from bigint;
  v_to bigint := least(p_seq, p_last_seq);
begin
  if p_seq is null then
    return p_read_seq;
  end if;
  v_from := coalesce(p_read_seq, first_position(p_room, p_last_seq, p_user, p_entity));
  if not p_force then
    v_to := skip_own(p_room, p_last_seq, greatest(v_from, v_to), p_user);
  end if;
  return coalesce(nullif(v_to, v_from), p_read_seq);
end $$;`);

    this.addSql(`
create function write_positions(
  p_room bigint[], p_user uuid[], p_entity uuid[], p_level int[],
  p_seq bigint[], p_force boolean[], p_quiet boolean[], p_muted boolean[], p_hidden boolean[]
) returns ${writtenPositions}
language plpgsql set plan_cache_mode = force_generic_plan ${useIndexes} as $$
begin
  insert into positions (room_id, user_uuid, read_seq, receipt_seq, version, muted, hidden_seq, entity, level)
  select i.room_id, i.user_uuid, n.seq, case when not i.quiet and n.seq > n.first then n.seq end, 1,
    coalesce(i.muted, false), case when i.hidden then r.last_seq end, i.entity, i.level
  from unnest(p_room, p_user, p_entity, p_level, p_seq, p_force, p_quiet, p_muted, p_hidden)
    as i(room_id, user_uuid, entity, level, seq, force, quiet, muted, hidden)
  join rooms r on r.id = i.room_id
  cross join lateral (select
    next_position(r.id, r.last_seq, i.user_uuid, i.entity, null, i.seq, i.force) as seq,
    first_position(r.id, r.last_seq, i.user_uuid, i.entity) as first
  ) n
  where (n.seq is not null or i.muted or i.hidden) and not exists (
    select 1 from positions s where s.room_id = i.room_id and s.user_uuid = i.user_uuid
  )
  order by i.room_id, i.user_uuid
  on conflict (room_id, user_uuid) do nothing;

  ${updatePosition('next_position(i.room_id, i.last_seq, i.user_uuid, i.entity, s.read_seq, i.seq, i.force) as seq')}
  from (
    select i.*, r.last_seq
    from unnest(p_room, p_user, p_entity, p_level, p_seq, p_force, p_quiet, p_muted, p_hidden)
      as i(room_id, user_uuid, entity, level, seq, force, quiet, muted, hidden)
    join rooms r on r.id = i.room_id
    order by i.room_id, i.user_uuid
  ) i
  where s.room_id = i.room_id and s.user_uuid = i.user_uuid and (
    next_position(i.room_id, i.last_seq, i.user_uuid, i.entity, s.read_seq, i.seq, i.force) is distinct from s.read_seq
    or i.muted <> s.muted or not i.hidden and s.hidden_seq is not null
    or i.hidden and (s.hidden_seq is null or count_unread(i.room_id, i.last_seq, s.hidden_seq, i.user_uuid) > 0)
  );

  return query
  select i.ord, s.read_seq, p.receipt_seq, s.version, s.muted,
    s.hidden_seq is not null and count_unread(r.id, r.last_seq, s.hidden_seq, i.user_uuid) = 0,
    count_unread(r.id, r.last_seq, s.read_seq, i.user_uuid), count_mentions(r.id, s.read_seq, i.user_uuid, i.entity),
    coalesce(p.xmin = pg_current_xact_id_if_assigned()::xid, false),
    ${hasReceipts}
  from unnest(p_room, p_user, p_entity) with ordinality as i(room_id, user_uuid, entity, ord)
  join rooms r on r.id = i.room_id
  cross join lateral read_state(r.id, r.last_seq, i.user_uuid, i.entity) s
  left join positions p on p.room_id = i.room_id and p.user_uuid = i.user_uuid;
end $$;`);

    this.addSql(createAcceptInvitations({ recordsActor: true }));
  }

  override down(): void {
    this.addSql(createAcceptInvitations());
    this.addSql(
      'drop function write_positions(bigint[], uuid[], uuid[], int[], bigint[], boolean[], boolean[], boolean[], boolean[]);',
    );
    this.addSql('drop function next_position(bigint, bigint, uuid, uuid, bigint, bigint, boolean);');
    this.addSql('drop function skip_own(bigint, bigint, bigint, uuid);');
    this.addSql(
      createReadState(`
  select coalesce(
      (select seq_at(p_room, p.created_at) - 1 from permission_rules p where p.room_id = p_room and p.grantee = p_user),
      p_last_seq
    ), 0::bigint, false, null::bigint`),
    );
    this.addSql('drop function first_position(bigint, bigint, uuid, uuid);');
    this.addSql('drop trigger rooms_delete_positions on rooms;');
    this.addSql('drop function delete_positions_of_room();');
    this.addSql('drop table positions;');
    this.addSql('drop function touch_positions();');
    this.addSql('drop table users_seen;');
    this.addSql('alter table permission_rules drop column from_seq;');
  }
}

function createReadState(body: string): string {
  return `
create or replace function read_state(p_room bigint, p_last_seq bigint, p_user uuid, p_entity uuid)
returns table (read_seq bigint, version bigint, muted boolean, hidden_seq bigint) language sql stable as $$${body}
$$;`;
}

import { Migration } from '@mikro-orm/migrations';
import { createAcceptInvitations } from './functions/accept-invitations.ts';
import { createAppendMessages } from './functions/append-messages.ts';
import { useIndexes } from './functions/planner-settings.ts';

const emptyUuid = '00000000-0000-0000-0000-000000000000';

interface RemovalStep {
  table: string;
  /** The columns of the index after the room, by which the rows are removed in order. */
  columns: [name: string, type: 'bigint' | 'uuid'][];
}

/** The tables whose rows are removed, in this order. The rules come first, because lists of rooms begin with them. */
const steps: RemovalStep[] = [
  { table: 'permission_rules', columns: [['grantee', 'uuid']] },
  { table: 'messages', columns: [['seq', 'bigint']] },
  { table: 'room_changes', columns: [['rev', 'bigint']] },
  { table: 'log_entries', columns: [['rev', 'bigint']] },
  { table: 'reactions', columns: [['seq', 'bigint']] },
  { table: 'reaction_counts', columns: [['seq', 'bigint']] },
  { table: 'threads', columns: [['root', 'bigint']] },
  {
    table: 'thread_messages',
    columns: [
      ['root', 'bigint'],
      ['seq', 'bigint'],
    ],
  },
  {
    table: 'mentions',
    columns: [
      ['grantee', 'uuid'],
      ['seq', 'bigint'],
    ],
  },
  { table: 'positions', columns: [['user_uuid', 'uuid']] },
];

/** Removes at most `v_left` rows, the first ones in the order of the index from `v_room.after` on. */
function createStep({ table, columns }: RemovalStep, n: number): string {
  const names = columns.map(([name]) => name);
  const from = columns.map(
    ([, type], i) => `coalesce(v_room.after[${i + 1}]::${type}, ${type === 'uuid' ? `'${emptyUuid}'` : '0'})`,
  );
  return `when ${n} then
        with found as materialized (
          select t.ctid as place, ${names.map((name) => `t.${name}`).join(', ')} from ${table} t
          where t.room_id = v_room.room_id and (${names.map((name) => `t.${name}`).join(', ')}) >= (${from.join(', ')})
          order by ${names.map((name) => `t.${name}`).join(', ')} limit v_left
        ), gone as (delete from ${table} t where t.ctid = any(array(select f.place from found f)))
        select count(*), (array_agg(array[${names.map((name) => `f.${name}::text`).join(', ')}]
            order by ${names.map((name) => `f.${name} desc`).join(', ')}))[1:1]
          into v_count, v_last from found f;`;
}

/**
 * A deleted room disappears at once, and its rows are removed afterwards. Deleting the row of `rooms` is what deletes a
 * room: everything that reads the other tables begins with that row. A trigger adds the room to `deleted_rooms` in the same
 * transaction, whichever program or version deletes it.
 *
 * `remove_deleted_rows` removes up to `p_rows` rows of the room that was deleted first. `step` and `after` say where it goes
 * on: without them, each call would walk again over the index entries of the rows that earlier calls have removed, which
 * stay until a vacuum. Two calls at the same time work on different rooms. The commits are asynchronous: if PostgreSQL
 * crashes, the next call removes the same rows again.
 *
 * `permission_rules` and `room_changes` lose their foreign keys, which would remove the rows with the room. Rules and
 * changes are written only under the lock of the room, so the keys have never refused anything.
 *
 * `append_messages` and `accept_invitations` look for messages and rules only of rooms that exist.
 */
export class Migration20261128150000_deleted_rooms extends Migration {
  override name = 'Migration20261128150000_deleted_rooms';

  override up(): void {
    this.addSql(`create table deleted_rooms (room_id bigint not null, last_seq bigint not null,
      deleted_at timestamptz(3) not null, step smallint not null default 0, after text[] null, primary key (room_id));`);
    this.addSql('alter table permission_rules drop constraint permission_rules_room_id_foreign;');
    this.addSql('alter table room_changes drop constraint room_changes_room_id_foreign;');
    this.addSql('drop trigger rooms_delete_messages on rooms;');
    this.addSql('drop function delete_messages_of_room();');
    this.addSql('drop trigger rooms_delete_positions on rooms;');
    this.addSql('drop function delete_positions_of_room();');
    this.addSql(createConversationTrigger(['room_custom']));
    this.addSql(`
create function record_deleted_room() returns trigger language plpgsql as $$
begin
  insert into deleted_rooms (room_id, last_seq, deleted_at) values (old.id, old.last_seq, clock_timestamp())
  on conflict (room_id) do update set last_seq = excluded.last_seq, step = 0, after = null;
  return null;
end $$;`);
    this.addSql(
      'create trigger rooms_remove_rows after delete on rooms for each row execute function record_deleted_room();',
    );
    this.addSql(`
create function remove_deleted_rows(p_rows int) returns table (o_room bigint, o_rows int, o_is_done boolean)
language plpgsql set plan_cache_mode = force_generic_plan ${useIndexes} as $$
declare
  v_room deleted_rooms;
  v_left int := p_rows;
  v_count int;
  v_last text[];
begin
  perform set_config('synchronous_commit', 'off', true);
  select * into v_room from deleted_rooms d order by d.deleted_at, d.room_id limit 1 for update skip locked;
  if not found then
    return;
  end if;
  while v_room.step < ${steps.length} and v_left > 0 loop
    case v_room.step
      ${steps.map(createStep).join('\n      ')}
    end case;
    if v_count < v_left then
      v_room.step := v_room.step + 1;
      v_room.after := null;
    else
      v_room.after := array(select unnest(v_last));
    end if;
    v_left := v_left - v_count;
  end loop;
  if v_room.step = ${steps.length} then
    delete from deleted_rooms d where d.room_id = v_room.room_id;
  else
    update deleted_rooms d set step = v_room.step, after = v_room.after where d.room_id = v_room.room_id;
  end if;
  return query select v_room.room_id, p_rows - v_left, v_room.step = ${steps.length};
end $$;`);
    this.addSql(createAppendMessages({ hasJournal: true, outliveRooms: true }));
    this.addSql(createAcceptInvitations({ recordsActor: true, outliveRooms: true }));
  }

  override down(): void {
    // The rows of rooms that are being removed have no room for the foreign keys to refer to.
    for (const { table } of [...steps].reverse())
      this.addSql(`delete from ${table} where room_id in (select room_id from deleted_rooms);`);
    this.addSql(createAcceptInvitations({ recordsActor: true }));
    this.addSql(createAppendMessages({ hasJournal: true }));
    this.addSql('drop function remove_deleted_rows(int);');
    this.addSql('drop trigger rooms_remove_rows on rooms;');
    this.addSql('drop function record_deleted_room();');
    const conversation = ['log_entries', 'reactions', 'reaction_counts', 'threads', 'thread_messages', 'mentions'];
    this.addSql(createConversationTrigger(['room_custom', ...conversation]));
    for (const table of ['messages', 'positions']) {
      this.addSql(`
create function delete_${table}_of_room() returns trigger language plpgsql set enable_seqscan = off as $$
begin
  delete from ${table} where room_id = old.id;
  return null;
end $$;`);
      this.addSql(
        `create trigger rooms_delete_${table} after delete on rooms for each row execute function delete_${table}_of_room();`,
      );
    }
    for (const table of ['permission_rules', 'room_changes']) {
      this.addSql(
        `alter table ${table} add constraint ${table}_room_id_foreign foreign key (room_id) references rooms (id) on delete cascade;`,
      );
    }
    this.addSql('drop table deleted_rooms;');
  }
}

const createConversationTrigger = (tables: readonly string[]) => `
create or replace function delete_conversation_of_room() returns trigger language plpgsql set enable_seqscan = off as $$
begin
  ${tables.map((table) => `delete from ${table} where room_id = old.id;`).join('\n  ')}
  return null;
end $$;`;

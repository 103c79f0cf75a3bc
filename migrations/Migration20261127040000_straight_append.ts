import { Migration } from '@mikro-orm/migrations';
import { createAppendStraight } from './functions/append-straight.ts';

/**
 * `append_straight` stores a batch without exceptional cases: every message is permitted by the rights at which it was
 * authorized, no message is a duplicate, and no room is locked for long. It locks the rooms and assigns the numbers in one
 * statement, so it costs half as much as `append_messages`. In every other case it stores nothing. If a message is a
 * duplicate of a stored message, it returns no rows. Otherwise it fails: with NM001 if rights have changed or a room is
 * deleted, with 23505 for a duplicate that is being stored at the same time, and with 55P03 if a room is locked. The caller
 * then passes the batch to `append_messages`, which answers each message separately.
 *
 * The caller passes the rooms in ascending order, and the function locks them in this order. For a plain join of all rooms, the
 * planner would choose the order by statistics, which at first are those of an empty table.
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
    this.addSql(createAppendStraight({ hasJournal: false }));
  }

  override down(): void {
    this.addSql('drop function append_straight(bigint[], int[], bigint[], int[], int[], uuid[], text[], text[]);');
    this.addSql('alter table rooms reset (fillfactor);');
    this.addSql('drop trigger rooms_delete_messages on rooms;');
    this.addSql('drop function delete_messages_of_room();');
    this.addSql(
      `alter table "messages" add constraint "messages_room_id_foreign" foreign key ("room_id") references "rooms" ("id") on delete cascade;`,
    );
  }
}

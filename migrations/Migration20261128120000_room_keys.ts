import { Migration } from '@mikro-orm/migrations';

/**
 * The keys that the product's backend gives to rooms. They are not a column of `rooms`, because an index on it would slow
 * down every send. A room has at most one key. The collation makes a search for a prefix use the index. The table has no
 * foreign key, because it would lock the row of the room.
 */
export class Migration20261128120000_room_keys extends Migration {
  override name = 'Migration20261128120000_room_keys';

  override up(): void {
    this.addSql(
      `create table room_keys (key varchar(128) collate "C" not null, room_id bigint not null, primary key (key));`,
    );
    this.addSql('alter table room_keys add constraint room_keys_room_id_unique unique (room_id);');
    // Triggers run in the order of their names. This one follows `rooms_record_deleted`, which records the key.
    this.addSql(`
create function remove_key_of_room() returns trigger language plpgsql set enable_seqscan = off as $$
begin
  delete from room_keys where room_id = old.id;
  return null;
end $$;`);
    this.addSql(
      'create trigger rooms_remove_key after delete on rooms for each row execute function remove_key_of_room();',
    );
  }

  override down(): void {
    this.addSql('drop trigger rooms_remove_key on rooms;');
    this.addSql('drop function remove_key_of_room();');
    this.addSql('drop table room_keys;');
  }
}

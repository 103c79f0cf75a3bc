import { Migration } from '@mikro-orm/migrations';

export class Migration20261127065620_imported_rooms extends Migration {
  override name = 'Migration20261127065620_imported_rooms';

  override up(): void | Promise<void> {
    this.addSql(
      `create table "imported_rooms" ("room_id" bigint not null, "uuid" uuid not null, "last_message_id" bigint not null, "seen_messages" bigint not null, "left_out" bigint not null, "rules" jsonb not null, "imported_at" timestamptz(3) not null, primary key ("room_id"));`,
    );
  }

  override down(): void | Promise<void> {
    this.addSql(`drop table if exists "imported_rooms" cascade;`);
  }
}

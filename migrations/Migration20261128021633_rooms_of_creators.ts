import { Migration } from '@mikro-orm/migrations';

export class Migration20261128021633_rooms_of_creators extends Migration {
  override name = 'Migration20261128021633_rooms_of_creators';

  override up(): void | Promise<void> {
    this.addSql(`create index "rooms_creator_index" on "rooms" ("user_owner");`);
  }

  override down(): void | Promise<void> {
    this.addSql(`drop index "rooms_creator_index";`);
  }
}

import { Migration } from '@mikro-orm/migrations';

export class Migration20261128021135_service_identity extends Migration {
  override name = 'Migration20261128021135_service_identity';

  override up(): void | Promise<void> {
    this.addSql(
      `create table "service_identity" ("id" int not null, "identity" varchar(64) not null, "database_oid" bigint not null, "written_by" bigint not null, primary key ("id"));`,
    );
  }

  override down(): void | Promise<void> {
    this.addSql(`drop table if exists "service_identity" cascade;`);
  }
}

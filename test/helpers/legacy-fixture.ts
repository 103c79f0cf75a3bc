import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { closeLater } from './cleanup.ts';
import { freshDatabase } from './postgres.ts';

/** What the migrations of the original make, columns and types as they are there. */
export const legacySchema = `
create table "Rooms" (
  id serial primary key, uuid uuid not null default gen_random_uuid(), name varchar(255) not null,
  level_admin integer not null, type varchar(255), "createdAt" timestamptz not null, "updatedAt" timestamptz not null,
  entity_owner uuid, max_entity_rules integer not null default 10
);
create table "Messages" (
  id serial primary key, room_id integer not null references "Rooms" (id) on delete cascade, emitter uuid,
  content varchar(255), "createdAt" timestamptz not null, "updatedAt" timestamptz not null
);
create table "Room_permissions" (
  room_id integer not null references "Rooms" (id) on delete cascade, "entity_UUID" uuid not null,
  level integer not null, permissions varchar(255) not null, "createdAt" timestamptz not null,
  "updatedAt" timestamptz not null, accepted boolean not null default false,
  kind varchar(255) not null default 'false', primary key (room_id, "entity_UUID")
);`;

interface RoomOptions {
  id?: number;
  name?: string;
  type?: string | null;
  level_admin?: number;
  entity?: string | null;
  max_entity_rules?: number;
  at?: string;
}

interface RuleOptions {
  permissions?: string;
  level?: number;
  accepted?: boolean;
  at?: string;
}

export type LegacyFixture = Awaited<ReturnType<typeof createLegacyDatabase>>;

/** A database as the original left it, in the test's hands. `alter` makes one of its forks of it. */
export async function createLegacyDatabase(alter = '') {
  const url = await freshDatabase();
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  closeLater(() => client.end());
  await client.query(legacySchema + alter);
  const at = '2021-06-01T12:00:00.000Z';

  async function room(wish: RoomOptions = {}): Promise<number> {
    const { name = 'a room', type = 'group', level_admin = 100, entity = randomUUID(), max_entity_rules = 10 } = wish;
    const { rows } = await client.query<{ id: number }>(
      `insert into "Rooms" (id, name, type, level_admin, entity_owner, max_entity_rules, "createdAt", "updatedAt")
       values (coalesce($1, nextval('"Rooms_id_seq"')), $2, $3, $4, $5, $6, $7, $7) returning id`,
      [wish.id, name, type, level_admin, entity, max_entity_rules, wish.at ?? at],
    );
    return rows[0]!.id;
  }

  async function rule(room: number, grantee: string, wish: RuleOptions = {}): Promise<void> {
    const { permissions = 'rw', level = 0, accepted = false } = wish;
    await client.query(
      `insert into "Room_permissions" (room_id, "entity_UUID", permissions, level, accepted, "createdAt", "updatedAt")
       values ($1, $2, $3, $4, $5, $6, $6)`,
      [room, grantee, permissions, level, accepted, wish.at ?? at],
    );
  }

  async function message(
    room: number,
    emitter: string | null,
    content: string | null,
    at = '2021-06-01T13:00:00.000Z',
  ): Promise<number> {
    const { rows } = await client.query<{ id: number }>(
      `insert into "Messages" (room_id, emitter, content, "createdAt", "updatedAt") values ($1, $2, $3, $4, $4) returning id`,
      [room, emitter, content, at],
    );
    return rows[0]!.id;
  }

  return {
    url,
    query: (text: string, values?: unknown[]) => client.query(text, values),
    room,
    rule,
    message,
    /** As the original's POST /rooms did it: the creator's rule, then the organisation's. */
    async createRoom(creator: string, organisation: string, wish: RoomOptions = {}): Promise<number> {
      const id = await room({ ...wish, entity: organisation });
      await rule(id, creator, { permissions: 'rwa', level: 100 });
      // It failed here where the two are the same, and left the room as it was.
      if (creator !== organisation) await rule(id, organisation, { level: 100, at: '2021-06-01T12:00:00.010Z' });
      return id;
    },
  };
}

import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { closeLater } from './cleanup.ts';
import { emptyDatabase } from './postgres.ts';

/** The schema that the migrations of the legacy service create, with its columns and types. */
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

/** Creates a database of the legacy service. `alter` changes its schema into that of a fork. */
export async function createLegacyDatabase(alter = '') {
  const url = await emptyDatabase();
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  closeLater(() => client.end());
  await client.query(legacySchema + alter);
  const at = '2021-06-01T12:00:00.000Z';

  async function room(options: RoomOptions = {}): Promise<number> {
    const {
      name = 'a room',
      type = 'group',
      level_admin = 100,
      entity = randomUUID(),
      max_entity_rules = 10,
    } = options;
    const { rows } = await client.query<{ id: number }>(
      `insert into "Rooms" (id, name, type, level_admin, entity_owner, max_entity_rules, "createdAt", "updatedAt")
       values (coalesce($1, nextval('"Rooms_id_seq"')), $2, $3, $4, $5, $6, $7, $7) returning id`,
      [options.id, name, type, level_admin, entity, max_entity_rules, options.at ?? at],
    );
    return rows[0]!.id;
  }

  async function rule(room: number, grantee: string, options: RuleOptions = {}): Promise<void> {
    const { permissions = 'rw', level = 0, accepted = false } = options;
    await client.query(
      `insert into "Room_permissions" (room_id, "entity_UUID", permissions, level, accepted, "createdAt", "updatedAt")
       values ($1, $2, $3, $4, $5, $6, $6)`,
      [room, grantee, permissions, level, accepted, options.at ?? at],
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
    /**
     * Writes the same rows as the legacy service did for POST /rooms: the rule of the creator, then that of the
     * organisation.
     */
    async createRoom(creator: string, organisation: string, options: RoomOptions = {}): Promise<number> {
      const id = await room({ ...options, entity: organisation });
      await rule(id, creator, { permissions: 'rwa', level: 100 });
      // The legacy service failed here if the creator and the organisation were the same, and left the room without the
      // second rule.
      if (creator !== organisation) await rule(id, organisation, { level: 100, at: '2021-06-01T12:00:00.010Z' });
      return id;
    },
  };
}

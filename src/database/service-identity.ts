import { randomUUID } from 'node:crypto';
import type { Query } from './sequences.ts';

/**
 * The row was written here, and is no copy: a restored dump and a logical replica have written it again, in another
 * transaction, and a database that was made of a template has another number. A physical standby has both as they were.
 */
const isOriginalRow = `database_oid = (select oid::bigint from pg_database where datname = current_database())
  and written_by = xmin::text::bigint`;

/** Tells databases of servers apart; an administrator may have taken the right to ask for it away. */
const systemIdentityQuery = `select (pg_control_system()).system_identifier::text || '.' || oid::text as id
  from pg_database where datname = current_database()`;

/**
 * What keeps services apart that share a Redis. It is the same for all nodes of a database, also after a failover to a
 * standby, and another one for a copy of it. It is kept in the database, because not every account may ask for
 * what PostgreSQL itself has to tell servers apart.
 */
export async function identifyService(query: Query): Promise<string> {
  const existing = await readIdentity(query);
  if (existing) return existing;
  const id = (await readSystemIdentity(query)) ?? randomUUID();
  // Of nodes that get here at once the first one gives it, and the others find it.
  await query(
    `insert into service_identity as s (id, identity, database_oid, written_by)
     select 1, $1, oid::bigint, pg_current_xact_id()::xid::text::bigint from pg_database where datname = current_database()
     on conflict (id) do update
       set identity = excluded.identity, database_oid = excluded.database_oid, written_by = excluded.written_by
       where not (s.database_oid = excluded.database_oid and s.written_by = s.xmin::text::bigint)`,
    [id],
  );
  const stored = await readIdentity(query);
  if (!stored) throw new Error('The table service_identity does not keep what is written to it');
  return stored;
}

async function readIdentity(query: Query): Promise<string | undefined> {
  const rows = await query<{ identity: string }>(
    `select identity from service_identity where id = 1 and ${isOriginalRow}`,
  );
  return rows[0]?.identity;
}

/** Nodes of the version before knew the service by this only. */
async function readSystemIdentity(query: Query): Promise<string | undefined> {
  const [right] = await query<{ may: boolean }>(
    `select has_function_privilege('pg_control_system()', 'execute') as may`,
  );
  if (!right?.may) return undefined;
  const [row] = await query<{ id: string }>(systemIdentityQuery);
  return row?.id;
}

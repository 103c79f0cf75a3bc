import { randomUUID } from 'node:crypto';
import type { Query } from './sequences.ts';

/**
 * Matches only a row that was written in this database, not a copied row. Restoring a dump or logical replication
 * writes the row in a new transaction, and a database that was created from a template has another oid. On a physical
 * standby both values stay the same, so the row still matches after a failover.
 */
const isWrittenHere = `database_oid = (select oid::bigint from pg_database where datname = current_database())
  and written_by = xmin::text::bigint`;

/**
 * Returns a value that no database on another server has. An administrator may have revoked the right to call this
 * function.
 */
const systemIdentityQuery = `select (pg_control_system()).system_identifier::text || '.' || oid::text as id
  from pg_database where datname = current_database()`;

/**
 * Returns an id that keeps services on the same Redis apart. All nodes of a database have the same id, even after a
 * failover to a standby, but a copy of the database has another. The id is stored in the database, because some
 * accounts may not query the system identifier of PostgreSQL.
 */
export async function identifyService(query: Query): Promise<string> {
  const existing = await readIdentity(query);
  if (existing) return existing;
  const id = (await readSystemIdentity(query)) ?? randomUUID();
  // If several nodes insert at the same time, the first insert wins.
  await query(
    `insert into service_identity as s (id, identity, database_oid, written_by)
     select 1, $1, oid::bigint, pg_current_xact_id()::xid::text::bigint from pg_database where datname = current_database()
     on conflict (id) do update
       set identity = excluded.identity, database_oid = excluded.database_oid, written_by = excluded.written_by
       where not (s.database_oid = excluded.database_oid and s.written_by = s.xmin::text::bigint)`,
    [id],
  );
  const stored = await readIdentity(query);
  if (!stored) throw new Error('The table service_identity did not keep its row. Check it for triggers and rules');
  return stored;
}

async function readIdentity(query: Query): Promise<string | undefined> {
  const rows = await query<{ identity: string }>(
    `select identity from service_identity where id = 1 and ${isWrittenHere}`,
  );
  return rows[0]?.identity;
}

/**
 * Returns the identifier that nodes of earlier versions use. A new row starts with it, so that old and new nodes agree.
 */
async function readSystemIdentity(query: Query): Promise<string | undefined> {
  const [privilege] = await query<{ may: boolean }>(
    `select has_function_privilege('pg_control_system()', 'execute') as may`,
  );
  if (!privilege?.may) return undefined;
  const [row] = await query<{ id: string }>(systemIdentityQuery);
  return row?.id;
}

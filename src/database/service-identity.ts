import { randomUUID } from 'node:crypto';
import type { Query } from './sequences.ts';

/**
 * Matches if the row was written in this database and is not a copy. A restored dump and a logical replica write the row
 * again in another transaction, and a database from a template has another oid. A physical standby keeps both.
 */
const isOriginalRow = `database_oid = (select oid::bigint from pg_database where datname = current_database())
  and written_by = xmin::text::bigint`;

/** Identifies the database among all servers. An administrator may have revoked the right to query it. */
const systemIdentityQuery = `select (pg_control_system()).system_identifier::text || '.' || oid::text as id
  from pg_database where datname = current_database()`;

/**
 * Returns an id that separates services on the same Redis. All nodes of a database share it, even after a failover to a
 * standby, and copies of the database have another. It is stored in the database, because not every account may query
 * PostgreSQL's own system identifier.
 */
export async function identifyService(query: Query): Promise<string> {
  const existing = await readIdentity(query);
  if (existing) return existing;
  const id = (await readSystemIdentity(query)) ?? randomUUID();
  // If several nodes get here at once, the first insert wins.
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
    `select identity from service_identity where id = 1 and ${isOriginalRow}`,
  );
  return rows[0]?.identity;
}

/** Nodes of earlier versions identify the service only by this value. */
async function readSystemIdentity(query: Query): Promise<string | undefined> {
  const [privilege] = await query<{ may: boolean }>(
    `select has_function_privilege('pg_control_system()', 'execute') as may`,
  );
  if (!privilege?.may) return undefined;
  const [row] = await query<{ id: string }>(systemIdentityQuery);
  return row?.id;
}

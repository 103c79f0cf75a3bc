import { randomUUID } from 'node:crypto';
import type { Query } from './sequences.ts';

/**
 * Matches a row only if it was written in this database, not if it was copied from another. If a dump is restored or
 * rows are replicated logically, the copied row is written in a new transaction, so `xmin` differs. If a database is
 * created from a template, its oid differs. A physical standby has the same values, so the row still matches after a
 * failover.
 */
const isWrittenHere = `database_oid = (select oid::bigint from pg_database where datname = current_database())
  and written_by = xmin::text::bigint`;

/**
 * Selects a value that no other database has, not even on another server. It needs `pg_control_system`, and an
 * administrator may have revoked the right to call that function.
 */
const systemIdentityQuery = `select (pg_control_system()).system_identifier::text || '.' || oid::text as id
  from pg_database where datname = current_database()`;

/**
 * Returns the id that distinguishes this service from other services on the same Redis. All nodes of a database get the
 * same id, even after a failover to a standby. A copy of the database gets another id. The id is stored in the database,
 * because some accounts may not query the system identifier of PostgreSQL.
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
 * Returns the id that nodes of earlier versions use. It becomes the stored id, so that old and new nodes can work
 * together during an upgrade. Returns undefined if the account may not query it.
 */
async function readSystemIdentity(query: Query): Promise<string | undefined> {
  const [privilege] = await query<{ may: boolean }>(
    `select has_function_privilege('pg_control_system()', 'execute') as may`,
  );
  if (!privilege?.may) return undefined;
  const [row] = await query<{ id: string }>(systemIdentityQuery);
  return row?.id;
}

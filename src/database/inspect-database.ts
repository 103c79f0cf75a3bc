import type { Client, QueryResult } from 'pg';
import { retryCanceled } from './retry-canceled.ts';
import type { DatabaseLocation } from './session-settings.ts';
import { UnsuitableDatabase } from './store-errors.ts';

export interface InspectedDatabase extends DatabaseLocation {
  /** The name of the database on the server. The name in the URL may differ if it leads to a pooler. */
  database: string;
  account: string;
  /** Texts about settings of the server that do not prevent a start, but can cause the loss of messages. */
  warnings: string[];
}

const minServerVersion = 140_000;

/** The schema of the service is recognized by this table. Other programs are unlikely to have a table of this name. */
const markerTable = 'room_changes';

const liftLimitsStatement = ['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout']
  .map((limit) => `set local ${limit} = 0`)
  .join('; ');

const factsQuery = `select current_setting('server_version_num')::int as "serverVersion",
  current_setting('server_version') as version, current_setting('server_encoding') as encoding,
  pg_is_in_recovery() as "isStandby", current_setting('default_transaction_read_only') as "readOnly",
  current_setting('session_replication_role') as "replicationRole",
  current_setting('synchronous_commit') as "synchronousCommit", current_setting('fsync') as fsync,
  current_setting('search_path') as "searchPath", current_database()::text as database, current_user::text as account,
  coalesce(
    (select n.nspname::text from unnest(current_schemas(false)) with ordinality as s(name, place)
       join pg_namespace n on n.nspname = s.name
       join pg_class c on c.relnamespace = n.oid and c.relname = '${markerTable}' and c.relkind in ('r', 'p')
     order by s.place limit 1),
    current_schema()::text
  ) as schema`;

interface Facts extends Omit<InspectedDatabase, 'schema' | 'warnings'> {
  version: string;
  encoding: string;
  isStandby: boolean;
  readOnly: string;
  replicationRole: string;
  synchronousCommit: string;
  fsync: string;
  searchPath: string;
  schema: string | null;
}

/**
 * Inspects a database without changing anything in it. Throws `UnsuitableDatabase` if the service cannot work with it.
 * `connectAgain` opens another connection with the same settings.
 */
export async function inspectDatabase(client: Client, connectAgain: () => Promise<Client>): Promise<InspectedDatabase> {
  const facts = await readFacts(client);
  const { serverVersion, database, account, schema } = facts!;
  const reason = findUnsuitableReason(facts!);
  if (reason) throw new UnsuitableDatabase(reason);
  await assertSessionPooling(client, connectAgain);
  return { serverVersion, database, account, schema: schema!, warnings: collectWarnings(facts!) };
}

/**
 * The time limits of the account may be too short even for this query, so they are turned off. `set local` limits this to
 * the transaction, because a pooler may give the session to another client afterwards. A canceled attempt has
 * left a transaction open.
 */
async function readFacts(client: Client): Promise<Facts | undefined> {
  const text = `begin; ${liftLimitsStatement}; ${factsQuery}; commit`;
  const results = (await retryCanceled(
    () => client.query(text),
    () => client.query('rollback'),
  )) as unknown as QueryResult<Facts>[];
  return results.find(({ rows }) => rows.length > 0)?.rows[0];
}

function findUnsuitableReason(facts: Facts): string | undefined {
  const { serverVersion, version, database, account, encoding, readOnly, replicationRole, searchPath } = facts;
  if (serverVersion < minServerVersion) {
    return `The server is PostgreSQL ${version}, but the service needs version 14 or later. Upgrade the server, or set DATABASE_URL to a newer one.`;
  }
  if (facts.isStandby) {
    return (
      'The server is a standby, which rejects writes (pg_is_in_recovery() is true). Set DATABASE_URL to the primary ' +
      'or to an address that follows it, or promote this server.'
    );
  }
  if (encoding !== 'UTF8') {
    return (
      `The encoding of the database "${database}" is ${encoding}, but it must be UTF8, because messages can contain any character. ` +
      `Create another database with: create database chat encoding 'UTF8' template template0; then move the data with pg_dump and pg_restore.`
    );
  }
  if (readOnly === 'on') {
    return (
      `The database "${database}" rejects writes of the account "${account}": default_transaction_read_only is on. ` +
      'Some providers set this when the disk is full. Free disk space, or reset the setting with: ' +
      `alter database ${database} reset default_transaction_read_only; (or alter role ${account} …, or in postgresql.conf).`
    );
  }
  if (replicationRole !== 'origin') {
    return (
      `session_replication_role is ${replicationRole} for the account "${account}", so triggers and foreign keys do not work, ` +
      `and messages of deleted rooms would remain. Reset it with: alter role ${account} reset session_replication_role; ` +
      `or alter database ${database} reset session_replication_role;`
    );
  }
  if (facts.schema === null) {
    return (
      `There is no schema for the tables: search_path is ${searchPath}, and it names no existing schema that may be used by the account "${account}". ` +
      `Create one with: create schema "${account}" authorization "${account}"; or set another search_path for the account.`
    );
  }
  return undefined;
}

function collectWarnings({ synchronousCommit, fsync }: Facts): string[] {
  const warnings = [];
  if (synchronousCommit === 'off') {
    warnings.push('synchronous_commit is off: the last acknowledged messages can be lost if PostgreSQL crashes');
  }
  if (fsync === 'off') {
    warnings.push('fsync is off: the database can be damaged if the machine of PostgreSQL crashes');
  }
  return warnings;
}

/** Several rounds are needed, because a pooler in transaction mode may assign the same session again by chance. */
const rounds = 4;

/**
 * Throws if there is a pooler that assigns a server session per transaction. In that case, other clients would share the
 * settings, prepared statements and locks of our session. A pooler is recognized by the process id that it reports when
 * a client connects: it differs from the process id of the server session. Two connections then run transactions
 * alternately. If the pooler assigns a session per connection, each connection keeps its session.
 */
export async function assertSessionPooling(client: Client, connectAgain: () => Promise<Client>): Promise<void> {
  const own = await readSessionPid(client);
  if (own === getConnectPid(client)) return;
  const other = await connectAgain();
  try {
    const others = await readSessionPid(other);
    if (own === others) throw new UnsuitableDatabase(transactionPoolingMessage);
    for (let round = 0; round < rounds; round++) {
      // The open transaction occupies its session, so a pooler cannot serve the first connection from that session.
      await other.query('begin');
      const inTransaction = await readSessionPid(other);
      const now = [await readSessionPid(client), await readSessionPid(client)];
      await other.query('commit');
      const after = await readSessionPid(client);
      const isKept = others === inTransaction && [...now, after].every((session) => session === own);
      if (!isKept) throw new UnsuitableDatabase(transactionPoolingMessage);
    }
  } finally {
    await other.end();
  }
}

const transactionPoolingMessage =
  'DATABASE_URL leads to a pooler in transaction mode, which assigns a PostgreSQL session per transaction, ' +
  'but settings, prepared statements and locks must remain with a connection. Use session mode ' +
  '(PgBouncer: pool_mode = session for this database or account; Supabase, RDS and others: the port or endpoint for sessions), ' +
  'or connect directly to PostgreSQL.';

async function readSessionPid(client: Client): Promise<number> {
  const { rows } = await retryCanceled(() => client.query<{ pid: number }>('select pg_backend_pid() as pid'));
  return rows[0]!.pid;
}

/**
 * Returns the process id that the server reported at connect. `pg` stores it for cancel requests, but its types do not
 * declare it.
 */
function getConnectPid(client: Client): number | null {
  return (client as Client & { processID: number | null }).processID;
}

/** The tables that a node reads and writes. The import and the migrations have others. */
export const nodeTables = [
  ...['rooms', 'permission_rules', 'messages', 'room_changes', 'revocations', 'service_identity', 'room_keys'],
  ...['room_custom', 'log_entries', 'reactions', 'reaction_counts', 'threads', 'thread_messages', 'mentions'],
  ...['positions', 'users_seen', 'touches', 'touches_epoch'],
  ...['webhooks', 'webhook_positions', 'webhook_refusals', 'leases', 'events', 'deleted_rooms'],
];

/** The functions that a node calls, and those that they call. Trigger functions need no privilege. */
export const nodeFunctions = [
  ...['append_messages', 'append_straight', 'accept_invitations', 'seq_at', 'apply_operations', 'finish_room'],
  ...['message_row', 'message_extras', 'message_reactions', 'thread_replies', 'store_mentions', 'forget_mentions'],
  ...['write_positions', 'next_position', 'skip_own', 'first_position', 'read_state', 'count_unread', 'count_mentions'],
  ...['initial_position', 'moved_position', 'unread_after', 'mentions_after'],
  ...['is_counted', 'inbox_items', 'inbox_rooms', 'touches_since', 'forget_touches', 'begin_touches_epoch'],
  ...['append_all', 'list_grantees', 'list_recipients'],
  ...['webhook_rooms', 'move_webhook_positions', 'forget_events', 'remove_deleted_rows'],
];

const toList = (names: readonly string[]) => names.map((name) => `'${name}'`).join(', ');

const missingPrivileges = `
  with relation as (
    select c.oid, c.relname, c.relkind from pg_class c where c.relnamespace = (select oid from pg_namespace where nspname = $1)
      and c.relname in (${toList(nodeTables)}, 'mikro_orm_migrations', 'rooms_id_seq', 'messages_id_seq', 'revocations_id_seq', 'webhooks_id_seq')
  )
  select format('%s on %s', lower(privilege), relname) as missing
    from relation, unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) as p(privilege)
    where relkind in ('r', 'p') and (relname <> 'mikro_orm_migrations' or privilege = 'SELECT')
      and not has_table_privilege(oid, privilege)
  union all
  select format('usage on %s', relname) from relation
    where case when relkind = 'S' then not has_sequence_privilege(oid, 'USAGE') else false end
  union all
  select format('execute on %s', p.proname) from pg_proc p where p.pronamespace = (select oid from pg_namespace where nspname = $1)
    and p.proname in (${toList(nodeFunctions)}) and not has_function_privilege(p.oid, 'EXECUTE')`;

/**
 * Checks that the account has the privileges that a node needs, because the account may not own the tables. The error
 * lists the missing grants.
 */
export async function checkPrivileges(client: Client, { schema, account }: InspectedDatabase): Promise<void> {
  const { rows } = await client.query<{ missing: string }>(missingPrivileges, [schema]);
  if (rows.length === 0) return;
  const missing = rows.map((row) => row.missing).join(', ');
  const [inSchema, toAccount] = [`in schema "${schema}"`, `to "${account}"`];
  throw new UnsuitableDatabase(
    `The account "${account}" lacks privileges: ${missing}. As the owner of the tables, run: ` +
      `grant select, insert, update, delete on all tables ${inSchema} ${toAccount}; ` +
      `grant usage on all sequences ${inSchema} ${toAccount}; grant execute on all functions ${inSchema} ${toAccount};`,
  );
}

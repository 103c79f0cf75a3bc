import type { Client } from 'pg';
import { UnsuitableDatabase } from './unsuitable-database.ts';

/** Rounds of the test: a pooler under load may by chance hand out the same session several times. */
const rounds = 4;

/**
 * Throws if a pooler gives the sessions of the server to its clients for one transaction at a time. Settings, prepared
 * statements and locks of a session would then be those of somebody else.
 *
 * A pooler shows itself by the process id: the one it tells a client at the connect is not that of the session. If so,
 * two connections are used in turns. In session pooling each of them has a session of its own all the time.
 */
export async function assertSessionPooling(client: Client, connectAgain: () => Promise<Client>): Promise<void> {
  const own = await readSessionPid(client);
  if (own === getConnectPid(client)) return;
  const other = await connectAgain();
  try {
    const others = await readSessionPid(other);
    if (own === others) throw new UnsuitableDatabase(transactionPoolingMessage);
    for (let round = 0; round < rounds; round++) {
      // A transaction keeps its session: the next statement of the other connection has to be served by another one.
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
  'DATABASE_URL leads to a pooler in transaction mode, which gives another session of PostgreSQL to each transaction, ' +
  'but settings, prepared statements and locks must stay with a connection. Use a pool in session mode ' +
  '(PgBouncer: pool_mode = session for this database or account; Supabase, RDS and others: the port or endpoint for sessions), ' +
  'or connect to PostgreSQL itself.';

async function readSessionPid(client: Client): Promise<number> {
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
  return rows[0]!.pid;
}

/** `pg` keeps it for cancel requests, and its types do not name it. */
function getConnectPid(client: Client): number | null {
  return (client as Client & { processID: number | null }).processID;
}

import { Client } from 'pg';
import { type InspectedDatabase, inspectDatabase } from './inspect-database.ts';
import { retryCanceled } from './retry-canceled.ts';
import { formatSessionSetup, type SessionLimits } from './session-settings.ts';

/** A database that has passed the inspection, and a session in it. */
export interface OpenDatabase {
  url: string;
  client: Client;
  facts: InspectedDatabase;
}

interface OpenOptions {
  limits?: SessionLimits;
  application?: string;
  connectTimeoutMs?: number;
}

const noLimits = { statementTimeoutMs: 0, lockTimeoutMs: 0, idleInTransactionTimeoutMs: 0 };

/**
 * Connects to a database and inspects it. Throws `UnsuitableDatabase` if the service cannot use the database. Changes
 * nothing in the database.
 */
export async function openDatabase(
  url: string,
  { limits = noLimits, ...options }: OpenOptions = {},
): Promise<OpenDatabase> {
  const client = await connect(url, options);
  try {
    const facts = await inspectDatabase(client, () => connect(url, options));
    await retryCanceled(() => client.query(formatSessionSetup(facts, limits)));
    return { url, client, facts };
  } catch (error) {
    await client.end().catch(() => {});
    throw error;
  }
}

async function connect(
  url: string,
  { application = 'nano-messaging', connectTimeoutMs = 5_000 }: Omit<OpenOptions, 'limits'>,
): Promise<Client> {
  const client = new Client({
    connectionString: url,
    application_name: application,
    connectionTimeoutMillis: connectTimeoutMs,
    keepAlive: true,
  });
  // An unhandled 'error' event would end the process. The error can be ignored here: the next query fails with it.
  client.on('error', () => {});
  await client.connect();
  return client;
}

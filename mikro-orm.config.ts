// For the MikroORM command line (`npm run migrate:create`). The server builds the same options from its settings.
import { openDatabase } from './src/database/open-database.ts';
import { createPgliteOptions, createPostgresOptions } from './src/database/orm-options.ts';

const limits = { statementTimeoutMs: 60_000, lockTimeoutMs: 0, idleInTransactionTimeoutMs: 60_000 };

async function createOptions(url: string) {
  const { client, facts } = await openDatabase(url);
  await client.end();
  return createPostgresOptions({ url, facts, limits, poolSize: 2 });
}

const url = process.env.DATABASE_URL;
export default url ? await createOptions(url) : createPgliteOptions(undefined);

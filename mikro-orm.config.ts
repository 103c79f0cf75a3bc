// For the MikroORM command line (`npm run migrate:create`); the server builds the same options from its own settings.
import { pgliteOptions, postgresOptions } from './src/store/orm-options.ts';

const url = process.env.DATABASE_URL;
export default url ? postgresOptions(url, 2, 60_000) : pgliteOptions(undefined);

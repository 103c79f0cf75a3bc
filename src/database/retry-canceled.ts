import { sqlState } from './store-errors.ts';

const queryCanceled = '57014';
const maxAttempts = 5;

/**
 * Runs a query on a session whose time limits are still those of the account. A limit of a millisecond can cancel the
 * query before it has turned the limits off, so a canceled query is retried. `recover` runs before each retry.
 */
export async function retryCanceled<T>(run: () => Promise<T>, recover?: () => Promise<unknown>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await run();
    } catch (error) {
      if (sqlState(error) !== queryCanceled || attempt === maxAttempts) throw error;
      await recover?.();
    }
  }
}

import { expect } from 'chai';
import type { Pool } from 'pg';
import { createPoolGuard } from '../../../src/patches/pg-pool-guard.ts';

type Answer = (error: Error | null, result?: unknown) => void;

describe('createPoolGuard', () => {
  it('releases a pool connection once, even if pg calls back with the result and again with a read timeout', async () => {
    const released: unknown[] = [];
    let answer: Answer = () => {};
    const client = { query: (_statement: unknown, callback: Answer) => (answer = callback) };
    const connect = (callback: (error: undefined, found: typeof client, release: (error?: Error) => void) => void) =>
      callback(undefined, client, (error) => released.push(error));
    const guard = createPoolGuard('SELECT 1');
    guard.install({ connect, options: {} } as unknown as Pool);
    const queried = guard.query({ name: 'one', text: 'SELECT 1' }, []);
    answer(null, { rows: [] });
    answer(new Error('Query read timeout'));
    expect(await queried).to.deep.equal({ rows: [] });
    expect(released).to.deep.equal([undefined]);
  });
});

import { setImmediate as endOfTick } from 'node:timers/promises';
import { expect } from 'chai';
import { createDueItems } from '../../../../src/features/inbox/due-items.ts';
import { DueQueue } from '../../../../src/features/inbox/due-queue.ts';
import { Watcher, WatcherIndex } from '../../../../src/features/inbox/watchers.ts';
import { onFakeClock } from '../../../helpers/fake-clock.ts';
import { waitUntil } from '../../../helpers/wait-until.ts';

/** How long each statement takes. */
const statementMs = 10;

describe('due items', () => {
  it('reads in one statement what becomes due in the pause after the previous statement', () =>
    onFakeClock(async () => {
      const statements: unknown[] = [];
      let answered = 0;
      const store = {
        async query(_statement: unknown, values: unknown[]) {
          statements.push(values[5]);
          await new Promise((resolve) => setTimeout(resolve, statementMs));
          answered += 1;
          return [];
        },
      };
      const queue = new DueQueue(0);
      const events = {
        delivered: () => {},
        failed(error: unknown) {
          throw error;
        },
      };
      const due = createDueItems({ store, index: new WatcherIndex(), queue, eventMs: 500, events });
      const addDue = (user: string) => {
        const watcher = new Watcher({ actor: { user, entity: null, level: 0, mayCreateRooms: false }, emit: () => {} });
        watcher.isReading = false;
        queue.add(watcher, 1, performance.now());
        due.drain();
      };
      addDue('ana');
      await waitUntil('the first statement is answered', () => answered === 1);
      for (const user of ['ben', 'cleo', 'dora']) {
        addDue(user);
        await endOfTick();
      }
      await waitUntil('the others have been read', () => answered > 1);
      expect(statements).to.deep.equal([['ana'], ['ben', 'cleo', 'dora']]);
      due.close();
    }));
});

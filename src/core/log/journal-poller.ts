import type { Store } from '../../database/store.ts';
import type { TaskReport } from '../periodic.ts';
import { JournalReader, type Poll } from './journal.ts';

/**
 * The delay of a poll after a commit, if only this process writes to the database. Commits within this time share a
 * poll.
 */
const pollAfterWriteMs = 20;

/** Polls the journal while somebody needs it. Polls run one at a time. */
export interface JournalPoller {
  /**
   * Resolves when the first poll has begun to track the journal. From then on, polls find every change that is newer
   * than what the caller reads next.
   */
  start(): Promise<void>;
  close(): void;
}

interface Collaborators {
  store: Pick<Store, 'query' | 'onJournalWrite'>;
  /** If this returns false after a poll, polling ends until the next start. */
  isNeeded(): boolean;
  /** The time until the next poll. */
  chooseIntervalMs(): number;
  onPoll(poll: Poll): void;
  events: TaskReport;
}

export function createJournalPoller({
  store,
  isNeeded,
  chooseIntervalMs,
  onPoll,
  events,
}: Collaborators): JournalPoller {
  const journal = new JournalReader(store);
  let timer: NodeJS.Timeout | undefined;
  let isPolling = false;
  let shouldPollAgain = false;
  let started: Promise<void> | undefined;
  let isClosed = false;

  function schedule(inMs: number): void {
    clearTimeout(timer);
    timer = isClosed ? undefined : setTimeout(poll, inMs).unref();
  }

  async function poll(): Promise<void> {
    if (isPolling) {
      shouldPollAgain = true;
      return;
    }
    isPolling = true;
    try {
      const found = await journal.poll();
      events.recovered();
      onPoll(found);
    } catch (error) {
      events.failed(error);
    }
    isPolling = false;
    if (isNeeded()) {
      schedule(shouldPollAgain ? pollAfterWriteMs : chooseIntervalMs());
    } else {
      started = undefined;
      journal.reset();
    }
    shouldPollAgain = false;
  }

  let earlyPoll: NodeJS.Timeout | undefined;
  const stopWatchingWrites = store.onJournalWrite(() => {
    if (!started || isClosed) return;
    earlyPoll ??= setTimeout(() => {
      earlyPoll = undefined;
      void poll();
    }, pollAfterWriteMs).unref();
  });

  return {
    start() {
      started ??= journal.poll().then(
        () => schedule(chooseIntervalMs()),
        (error) => {
          started = undefined;
          throw error;
        },
      );
      return started;
    },
    close() {
      isClosed = true;
      clearTimeout(timer);
      clearTimeout(earlyPoll);
      stopWatchingWrites();
    },
  };
}

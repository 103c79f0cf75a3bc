import type { Logger } from 'pino';
import { affectsWrites, isConflict, isUnavailable, sqlState } from './store-errors.ts';

/** While the database is up the probe notices a standby that rejects writes, even if nobody writes. */
const probeMs = { down: 1_000, up: 10_000 };
/** An outage is logged after this time: terminated sessions are replaced sooner, and the first error is not always the cause. */
const logAfterMs = 500;
/** A failure within this time after a recovery belongs to the same outage, which is logged once. */
const stableAfterMs = 1_500;

interface AvailabilityOptions {
  /** Resolves if reads and writes work. */
  probe: () => Promise<void>;
  /** Called after an outage: the connections may lead to another server now. */
  onRecovered?: () => void;
  logger: Logger | undefined;
}

/** Whether the database works, according to the outcome of statements and of a regular probe. */
export interface Availability {
  readonly isUp: boolean;
  /** The number of statements and transactions that got no answer or failed because of the outage. */
  readonly failures: number;
  /** The error of the current outage. */
  readonly cause: unknown;
  /** Returns a value for `recordSuccess`: the success of work that began before an outage does not prove that it is over. */
  begin(): number;
  recordSuccess(outagesAtBegin: number): void;
  /** Reads and writes work again. */
  recordRecovery(): void;
  recordFailure(error: unknown): void;
  close(): void;
}

export function createAvailability({ probe, onRecovered, logger }: AvailabilityOptions): Availability {
  let isUp = true;
  let failures = 0;
  let outages = 0;
  let cause: unknown;
  let needsProbe = false;
  let downSince: number | undefined;
  let isLogged = false;
  let stableTimer: NodeJS.Timeout | undefined;
  let probeTimer: NodeJS.Timeout | undefined;
  let isClosed = false;

  function recordFailure(error: unknown): void {
    // A lock timeout and a conflict of transactions are answers of a working database.
    if (!isUnavailable(error) || isConflict(error)) return;
    failures += 1;
    outages += 1;
    const wasUp = isUp;
    isUp = false;
    cause = error;
    needsProbe ||= affectsWrites(error);
    clearTimeout(stableTimer);
    if (wasUp) scheduleProbe();
    downSince ??= performance.now();
    if (isLogged || performance.now() - downSince < logAfterMs) return;
    isLogged = true;
    logger?.warn(
      { err: error, sqlState: sqlState(error) },
      'database unavailable; requests are refused until it recovers',
    );
  }

  function scheduleProbe(): void {
    if (isClosed) return;
    clearTimeout(probeTimer);
    probeTimer = setTimeout(
      () =>
        probe()
          .then(recordRecovery, () => {})
          .finally(scheduleProbe),
      isUp ? probeMs.up : probeMs.down,
    );
    probeTimer.unref();
  }

  function recordRecovery(): void {
    if (isUp) return;
    isUp = true;
    needsProbe = false;
    cause = undefined;
    const forMs = Math.round(performance.now() - downSince!);
    stableTimer = setTimeout(() => {
      if (isLogged) logger?.info({ forMs }, 'database available again');
      isLogged = false;
      downSince = undefined;
    }, stableAfterMs).unref();
    onRecovered?.();
  }

  scheduleProbe();
  return {
    ...{ recordFailure, recordRecovery },
    begin: () => outages,
    recordSuccess(outagesAtBegin) {
      if (!isUp && !needsProbe && outagesAtBegin === outages) recordRecovery();
    },
    close() {
      isClosed = true;
      clearTimeout(probeTimer);
      clearTimeout(stableTimer);
    },
    get isUp() {
      return isUp;
    },
    get failures() {
      return failures;
    },
    get cause() {
      return cause;
    },
  };
}

import type { Logger } from 'pino';
import { affectsWrites, isConflict, isUnavailable, sqlState } from './store-errors.ts';

/**
 * How often the probe runs. It also runs while the database is up: if the connections lead to a standby after a failover,
 * writes fail, and the probe detects this before a client writes.
 */
const probeMs = { down: 1_000, up: 10_000 };
/**
 * An outage is logged only if it lasts this long. A terminated session is replaced within this time and needs no log
 * line. Besides, later errors of an outage often show its cause better than the first error.
 */
const logAfterMs = 500;
/**
 * A failure within this time after a recovery belongs to the same outage, so that a flapping database causes only one
 * log line.
 */
const stableAfterMs = 1_500;

interface AvailabilityOptions {
  /** Resolves if reads and writes work. */
  probe: () => Promise<void>;
  /**
   * Called when an outage ends. The connections may now lead to another server. `affectedWrites`: reads may have
   * succeeded during the outage, on sessions that still reject writes.
   */
  onRecovered?: (outage: { affectedWrites: boolean }) => void;
  logger: Logger | undefined;
}

/** Tracks whether the database works, by the results of statements and of a regular probe. */
export interface Availability {
  readonly isUp: boolean;
  /** The number of statements and transactions that got no answer or failed because of the outage. */
  readonly failures: number;
  /** The latest error of the current outage. */
  readonly cause: unknown;
  /**
   * Call this before each piece of work, and pass the result to `recordSuccess`. If work began before an outage and
   * succeeds during the outage, this does not prove that the outage is over.
   */
  begin(): number;
  recordSuccess(outagesAtBegin: number): void;
  /** Call this when reads and writes are known to work. Ends the outage. */
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
    // A lock timeout or a conflict between transactions also occurs in a database that works.
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
    const affectedWrites = needsProbe;
    isUp = true;
    needsProbe = false;
    cause = undefined;
    const forMs = Math.round(performance.now() - downSince!);
    stableTimer = setTimeout(() => {
      if (isLogged) logger?.info({ forMs }, 'database available again');
      isLogged = false;
      downSince = undefined;
    }, stableAfterMs).unref();
    onRecovered?.({ affectedWrites });
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

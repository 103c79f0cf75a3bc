import type { Logger } from 'pino';
import { affectsWrites, isConflict, isUnavailable, sqlState } from './store-errors.ts';

/** During an outage, and otherwise: a standby that takes no writes must be noticed although nobody writes. */
const probeMs = { down: 1_000, up: 10_000 };
/** A session that was ended is replaced sooner, and what comes first is not always the cause: it is logged after this. */
const logAfterMs = 500;
/** An outage that comes back within this time is the same one, and is logged once. */
const stableAfterMs = 1_500;

interface AvailabilityOptions {
  /** Resolves if the database takes reads and writes. */
  probe: () => Promise<void>;
  /** Called when an outage is over: the database may be another one. */
  onRecovered?: () => void;
  logger: Logger | undefined;
}

/** Whether the database does its work, judged by what it answers. It is also asked now and then. */
export interface Availability {
  readonly isUp: boolean;
  /** How many statements and transactions were not answered, or could not be carried out at that time. */
  readonly failures: number;
  /** The error of the current outage. */
  readonly cause: unknown;
  /** To be handed to `succeeded`: what began before an outage and succeeds does not show that it is over. */
  begin(): number;
  recordSuccess(outagesAtBegin: number): void;
  /** Reads and writes are possible again. */
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
    // A lock that was not free, and a conflict of transactions, are answers.
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
      'database unavailable; requests are refused until it is back',
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

import type { Logger } from 'pino';
import { concernsWrites, isAway, isConflict, stateOf } from './store-errors.ts';

const probeMs = 1_000;
/** An outage that comes back within this time is the same one, and is logged once. */
const settleMs = 2_000;

interface Surroundings {
  /** Resolves if the database takes reads and writes. */
  probe: () => Promise<void>;
  /** Called when an outage is over: the database may be another one. */
  onRecovered?: () => void;
  logger: Logger | undefined;
}

/** Whether the database does its work, judged by what it answers. While it does not, it is asked every second. */
export interface Availability {
  readonly isUp: boolean;
  /** How many statements and transactions were not answered, or could not be carried out at that time. */
  readonly failures: number;
  /** The error of the current outage. */
  readonly cause: unknown;
  /** To be handed to `succeeded`: what began before an outage and succeeds does not show that it is over. */
  begin(): number;
  succeeded(begun: number): void;
  /** Reads and writes are possible again. */
  recovered(): void;
  failed(error: unknown): void;
  close(): void;
}

export function createAvailability({ probe, onRecovered, logger }: Surroundings): Availability {
  let isUp = true;
  let failures = 0;
  let outages = 0;
  let cause: unknown;
  let needsProbe = false;
  let loggedAt: number | undefined;
  let settling: NodeJS.Timeout | undefined;
  let probing: NodeJS.Timeout | undefined;
  let isClosed = false;

  function failed(error: unknown): void {
    // A lock that was not free, and a conflict of transactions, are answers.
    if (!isAway(error) || isConflict(error)) return;
    failures += 1;
    outages += 1;
    isUp = false;
    cause = error;
    needsProbe ||= concernsWrites(error);
    clearTimeout(settling);
    if (loggedAt === undefined) {
      loggedAt = performance.now();
      logger?.warn(
        { err: error, sqlState: stateOf(error) },
        'database unavailable; requests are refused until it is back',
      );
    }
    probeLater();
  }

  function probeLater(): void {
    if (isClosed) return;
    probing ??= setTimeout(() => {
      probing = undefined;
      if (!isUp) probe().then(recovered, probeLater);
    }, probeMs).unref();
  }

  function recovered(): void {
    if (isUp) return;
    isUp = true;
    needsProbe = false;
    cause = undefined;
    const forMs = Math.round(performance.now() - loggedAt!);
    settling = setTimeout(() => {
      loggedAt = undefined;
      logger?.info({ forMs }, 'database available again');
    }, settleMs).unref();
    onRecovered?.();
  }

  return {
    ...{ failed, recovered },
    begin: () => outages,
    succeeded(begun) {
      if (!isUp && !needsProbe && begun === outages) recovered();
    },
    close() {
      isClosed = true;
      clearTimeout(probing);
      clearTimeout(settling);
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

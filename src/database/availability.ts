import type { Logger } from 'pino';
import { concernsWrites, isAway, isConflict, stateOf } from './store-errors.ts';

/** During an outage, and otherwise: a standby that takes no writes must be noticed although nobody writes. */
const probeMs = { down: 1_000, up: 10_000 };
/** A session that was ended is replaced sooner, and what comes first is not always the cause: it is logged after this. */
const logAfterMs = 500;
/** An outage that comes back within this time is the same one, and is logged once. */
const settleMs = 1_500;

interface Surroundings {
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
  let downSince: number | undefined;
  let isLogged = false;
  let settling: NodeJS.Timeout | undefined;
  let probing: NodeJS.Timeout | undefined;
  let isClosed = false;

  function failed(error: unknown): void {
    // A lock that was not free, and a conflict of transactions, are answers.
    if (!isAway(error) || isConflict(error)) return;
    failures += 1;
    outages += 1;
    const wasUp = isUp;
    isUp = false;
    cause = error;
    needsProbe ||= concernsWrites(error);
    clearTimeout(settling);
    if (wasUp) probeLater();
    downSince ??= performance.now();
    if (isLogged || performance.now() - downSince < logAfterMs) return;
    isLogged = true;
    logger?.warn(
      { err: error, sqlState: stateOf(error) },
      'database unavailable; requests are refused until it is back',
    );
  }

  function probeLater(): void {
    if (isClosed) return;
    clearTimeout(probing);
    probing = setTimeout(
      () =>
        probe()
          .then(recovered, () => {})
          .finally(probeLater),
      isUp ? probeMs.up : probeMs.down,
    );
    probing.unref();
  }

  function recovered(): void {
    if (isUp) return;
    isUp = true;
    needsProbe = false;
    cause = undefined;
    const forMs = Math.round(performance.now() - downSince!);
    settling = setTimeout(() => {
      if (isLogged) logger?.info({ forMs }, 'database available again');
      isLogged = false;
      downSince = undefined;
    }, settleMs).unref();
    onRecovered?.();
  }

  probeLater();
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

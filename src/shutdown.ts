/** The live connections of one transport. */
export interface LiveConnections {
  /** Those that are not gone yet. */
  readonly size: number;
  /** Begins to close so many of those that are open, and says how many it found. */
  closeUpTo(max: number): number;
}

/** The parts of a drain. They leave time for each other, whatever the one before waits for. */
export function computeDrainTimes(drainTimeoutMs: number, now = Date.now()) {
  return {
    /** A database that hangs takes this long; then connections are closed all the same. */
    writesUntil: now + drainTimeoutMs * 0.6,
    /** How long closing the connections is drawn out. */
    spreadMs: Math.min(5_000, drainTimeoutMs / 3),
    deadline: now + drainTimeoutMs,
  };
}

const sliceMs = 50;
/** So that a node with few connections is not slow. */
const minSlice = 20;

/** Evenly over the time, so that the clients do not all come back in one moment. */
export async function closeInSlices(transports: LiveConnections[], spreadMs: number, deadline: number): Promise<void> {
  const all = countConnections(transports);
  const startedAt = Date.now();
  let closed = 0;
  while (Date.now() < deadline) {
    const due = (all * (Date.now() - startedAt + sliceMs)) / Math.max(sliceMs, spreadMs);
    let remaining = Math.max(minSlice, Math.ceil(due) - closed);
    const before = closed;
    for (const transport of transports) {
      const count = transport.closeUpTo(remaining);
      remaining -= count;
      closed += count;
    }
    if (closed === before) return;
    await sleep(sliceMs);
  }
}

/** Until the last of them has said goodbye, or the time is up. */
export async function waitUntilClosed(transports: LiveConnections[], deadline: number): Promise<void> {
  while (countConnections(transports) > 0 && Date.now() < deadline) await sleep(10);
}

/** Whether the work was done before the deadline. */
export async function waitUntil(deadline: number, work: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const timedOut = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), Math.max(0, deadline - Date.now()));
  });
  const done = work.then(
    () => true,
    () => false,
  );
  return Promise.race([done, timedOut]).finally(() => clearTimeout(timer));
}

const countConnections = (transports: LiveConnections[]) => transports.reduce((sum, { size }) => sum + size, 0);

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

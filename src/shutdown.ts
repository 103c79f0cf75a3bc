/** The live connections of one transport. */
export interface LiveConnections {
  /** The number of connections that have not closed yet. */
  readonly size: number;
  /** Starts to close up to `max` open connections. Returns their number. */
  closeUpTo(max: number): number;
}

const defaultTimeouts = { graceMs: 2_000 };

interface Draining {
  drainTimeoutMs: number;
  /** `graceMs`: how long a drain waits for closing handshakes, and afterwards for requests that are being answered. */
  timeouts?: Partial<typeof defaultTimeouts> | undefined;
  queue: { readonly size: number; settled(): Promise<unknown> };
  transports: LiveConnections[];
  /** Asks clients to reconnect elsewhere, at times spread over `spreadMs`. Resolves when all have been asked. */
  notifyClients(spreadMs: number): Promise<void>;
  /** Stops accepting requests. Resolves when the accepted requests have been answered. */
  finishRequests(): Promise<unknown>;
  close(): Promise<void>;
}

/**
 * Drains the server: stores the queued messages, closes the connections, and then closes the server. Resolves with false
 * if the queued messages or the server did not finish in time.
 */
export async function drainServer({ queue, transports, timeouts, ...server }: Draining): Promise<boolean> {
  const { graceMs } = { ...defaultTimeouts, ...timeouts };
  const { writesUntil, spreadMs, deadline } = computeDrainTimes(server.drainTimeoutMs);
  const graceUntil = () => Math.min(deadline, Date.now() + graceMs);
  const notified = server.notifyClients(spreadMs);
  const inTime = await waitUntil(writesUntil, Promise.all([notified, whenSettled(queue)]));
  await closeInSlices(transports, spreadMs, deadline);
  await waitUntilClosed(transports, graceUntil());
  // Until here, the server accepts requests, so that load balancers still get an answer (503) from `/readyz`. From here
  // on, it only finishes the requests that have arrived completely.
  await waitUntil(graceUntil(), server.finishRequests());
  return (await waitUntil(deadline, server.close())) && inTime;
}

/**
 * Waits until the queue is empty and stays empty for one tick. In this tick, acknowledgements are sent, and further
 * messages may enter the queue.
 */
async function whenSettled(queue: Draining['queue']): Promise<void> {
  do {
    await queue.settled();
    await new Promise((resolve) => setImmediate(resolve));
  } while (queue.size > 0);
}

/** Divides the time of a drain among its steps. Even if a step times out, there is time left for the next step. */
export function computeDrainTimes(drainTimeoutMs: number, now = Date.now()) {
  return {
    /**
     * The time until which queued messages may be stored. Then the connections are closed, even if messages are left.
     */
    writesUntil: now + drainTimeoutMs * 0.6,
    /** The duration over which the closing of the connections is spread. */
    spreadMs: Math.min(5_000, drainTimeoutMs / 3),
    deadline: now + drainTimeoutMs,
  };
}

const sliceMs = 50;
/**
 * At least this many connections are closed at a time, so that a node with few connections does not need all of
 * `spreadMs`.
 */
const minSlice = 20;

/** Closes the connections evenly over `spreadMs`, so that the clients do not all reconnect at once. */
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

/** Resolves when all connections have closed, or at the deadline. */
export async function waitUntilClosed(transports: LiveConnections[], deadline: number): Promise<void> {
  while (countConnections(transports) > 0 && Date.now() < deadline) await sleep(10);
}

/** Resolves with true if the work succeeded before the deadline. */
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

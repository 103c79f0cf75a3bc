/** The live connections of one transport. */
export interface LiveConnections {
  /** Connections that have not closed yet. */
  readonly size: number;
  /** Starts to close at most so many open connections and returns their number. */
  closeUpTo(max: number): number;
}

/** How long draining waits for closing handshakes, and for requests that are being answered. */
const graceMs = 2_000;

interface Draining {
  drainTimeoutMs: number;
  queue: { readonly size: number; settled(): Promise<unknown> };
  transports: LiveConnections[];
  /** Asks clients to reconnect elsewhere, spread over this time. */
  announce(spreadMs: number): void;
  /** Stops accepting requests; resolves when the accepted ones have been answered. */
  finishRequests(): Promise<unknown>;
  close(): Promise<void>;
}

/** Writes what is queued, closes the connections, then the server. False if the time did not suffice. */
export async function drainServer({ queue, transports, ...server }: Draining): Promise<boolean> {
  const { writesUntil, spreadMs, deadline } = computeDrainTimes(server.drainTimeoutMs);
  const graceUntil = () => Math.min(deadline, Date.now() + graceMs);
  server.announce(spreadMs);
  const inTime = await waitUntil(writesUntil, whenSettled(queue));
  await closeInSlices(transports, spreadMs, deadline);
  await waitUntilClosed(transports, graceUntil());
  // Up to here the port has answered, `/readyz` with 503. Complete requests are answered; an incomplete one is cut.
  await waitUntil(graceUntil(), server.finishRequests());
  return (await waitUntil(deadline, server.close())) && inTime;
}

/** Includes messages that were on their way into the queue. The tick after it lets the acknowledgements go out. */
async function whenSettled(queue: Draining['queue']): Promise<void> {
  do {
    await queue.settled();
    await new Promise((resolve) => setImmediate(resolve));
  } while (queue.size > 0);
}

/** Each step of a drain leaves time for the next one, even if it times out. */
export function computeDrainTimes(drainTimeoutMs: number, now = Date.now()) {
  return {
    /** If the database hangs, the connections are closed after this. */
    writesUntil: now + drainTimeoutMs * 0.6,
    /** The time over which the closing of connections is spread. */
    spreadMs: Math.min(5_000, drainTimeoutMs / 3),
    deadline: now + drainTimeoutMs,
  };
}

const sliceMs = 50;
/** A node with few connections drains faster than `spreadMs`. */
const minSlice = 20;

/** Closes evenly over the time, so that the clients do not all reconnect at once. */
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

/** True if the work was done before the deadline. */
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

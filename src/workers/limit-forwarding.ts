import type { Worker } from 'node:cluster';

/** A worker does not keep up, or is frozen, if more messages than this wait for it. */
const maxWaiting = 5_000;

interface ForwardingEvents {
  /** Called for the first message that is dropped. */
  onLost(): void;
  /** The worker has read everything that had waited for it. */
  onRecovered(): void;
}

type Callback = (error: Error | null) => void;

/** A batch of `workers-adapter.ts`. Messages without `to` are for all other workers. */
interface Batch {
  messages?: { to?: readonly number[] }[];
}

/**
 * Socket.IO's adapter forwards every message of a worker to all other workers with `worker.send`, and ignores the result.
 * This function forwards only the messages that are addressed to the worker. It drops messages beyond a limit, because they
 * would fill the memory of the primary if the worker did not read them.
 */
export function limitForwarding(worker: Worker, { onLost, onRecovered }: ForwardingEvents): void {
  const send = worker.send.bind(worker) as (
    message: object,
    handle: undefined,
    options: object,
    sent: Callback,
  ) => boolean;
  let waiting = 0;
  let hasLost = false;

  function handleSent(): void {
    waiting -= 1;
    if (waiting > 0 || !hasLost) return;
    hasLost = false;
    onRecovered();
  }

  worker.send = (message: object) => {
    const wanted = selectMessages(message as Batch, worker.id);
    if (!wanted) return true;
    if (waiting >= maxWaiting) {
      if (!hasLost) onLost();
      hasLost = true;
      return false;
    }
    waiting += 1;
    return send(wanted, undefined, {}, handleSent);
  };
}

/** Returns undefined if nothing is left. */
function selectMessages(batch: Batch, worker: number): Batch | undefined {
  const { messages } = batch;
  if (!messages) return batch;
  const wanted = messages.filter(({ to }) => to?.includes(worker) ?? true);
  if (wanted.length === messages.length) return batch;
  return wanted.length === 0 ? undefined : { ...batch, messages: wanted };
}

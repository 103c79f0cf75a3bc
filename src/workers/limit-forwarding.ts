import type { Worker } from 'node:cluster';

/** If more than this waits for a worker, it does not keep up, or is frozen. */
const maxWaiting = 5_000;

interface ForwardingEvents {
  /** Called for the first message that is dropped. */
  onLost(): void;
  /** The worker has read everything that had waited for it. */
  onRecovered(): void;
}

type Callback = (error: Error | null) => void;

/**
 * Socket.IO's adapter passes the messages of the other workers on with `worker.send`, and does not look at the result. If
 * the worker does not read them, they would fill the memory of the primary. This drops them beyond a limit.
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
    if (waiting >= maxWaiting) {
      if (!hasLost) onLost();
      hasLost = true;
      return false;
    }
    waiting += 1;
    return send(message, undefined, {}, handleSent);
  };
}

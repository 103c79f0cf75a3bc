import type { ChangesListener } from './consumer.ts';
import { toPayload } from './delivery.ts';
import type { Receiver } from './receiver.ts';

/**
 * Delivers to a function of this process. If it throws an error with a `status`, this counts like the answer of an
 * endpoint: with 422, the room is refused. Any other error counts as 500.
 */
export function createConsumerReceiver(listener: ChangesListener): Receiver {
  return {
    async deliver(delivery) {
      try {
        await listener(toPayload(delivery, new Date()));
        return { status: 204 };
      } catch (error) {
        const { status, message } = (error ?? {}) as { status?: unknown; message?: unknown };
        const isStatus = typeof status === 'number' && status >= 400 && status <= 599;
        return { status: isStatus ? status : 500, detail: String(message ?? error) };
      }
    },
    close() {},
  };
}

import type { Delivery } from './delivery.ts';

/** What an endpoint has answered. */
export interface Answer {
  status: number;
  /** From the header `Retry-After`. */
  retryAfterMs?: number | undefined;
  /** The beginning of the body of a refusal, for the log. */
  detail?: string | undefined;
}

/** An HTTP endpoint, or a consumer in the same process. */
export interface Receiver {
  /** Rejects if there was no answer, or if the signal was aborted. */
  deliver(delivery: Delivery, signal: AbortSignal): Promise<Answer>;
  close(): void;
}

const maxReasonLength = 300;

/** Prepares a text from an endpoint or a listener for the log and the database. PostgreSQL cannot store NUL. */
export const toReason = (text: string): string => text.slice(0, maxReasonLength).replaceAll('\0', '\uFFFD');

export type Outcome = 'delivered' | 'failed' | 'suspended' | 'refused';

/**
 * A redirect counts as a failure, because requests must not reach an address that nobody has configured. So does 408: the
 * endpoint did not wait for the request.
 */
export function toOutcome(status: number): Outcome {
  if (status >= 200 && status < 300) return 'delivered';
  if (status === 410) return 'suspended';
  if (status === 408 || status === 429) return 'failed';
  return status >= 400 && status < 500 ? 'refused' : 'failed';
}

/** How a request went. */
interface Attempt {
  outcome: Outcome;
  /** Why the endpoint does not have the changes; empty if it has them. */
  reason: string;
  retryAfterMs: number | undefined;
}

/** Sends the request. A missing answer is a failure. */
export async function attemptDelivery(receiver: Receiver, delivery: Delivery, signal: AbortSignal): Promise<Attempt> {
  try {
    const { status, detail, retryAfterMs } = await receiver.deliver(delivery, signal);
    const outcome = toOutcome(status);
    const reason = outcome === 'delivered' ? '' : toReason([`the answer ${status}`, detail].filter(Boolean).join(': '));
    return { outcome, reason, retryAfterMs };
  } catch (error) {
    return { outcome: 'failed', reason: toReason((error as Error).message), retryAfterMs: undefined };
  }
}

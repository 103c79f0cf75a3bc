import type { WebhookEventName } from '../../core/webhook-events.ts';
import type { WebhookPayload } from './payload.ts';

/** Receives what a webhook receives. The changes are acknowledged when the returned promise resolves. */
export type ChangesListener = (payload: WebhookPayload) => unknown;

export interface ConsumerOptions {
  /** The identity of the consumer: its positions survive a restart. */
  name: string;
  /** What it receives; everything by default. */
  events?: readonly WebhookEventName[];
}

/** A consumer in this process. */
export interface Consumer {
  /** Ends the consumer. Its positions stay. */
  close(): Promise<void>;
}

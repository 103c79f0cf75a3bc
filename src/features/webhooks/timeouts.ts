import type { LeaseTimeouts } from '../../database/lease.ts';
import type { EndpointTimeouts } from './endpoint-policy.ts';
import type { RefusalTimeouts } from './refused-rooms.ts';

export interface WebhookTimeouts extends LeaseTimeouts, EndpointTimeouts, RefusalTimeouts {
  busyPollMs: number;
  idlePollMs: number;
  /** All positions are compared with the logs this often, because the journal is only a hint. */
  compareMs: number;
  forgetEventsMs: number;
  /** How long a closing node waits for answers. */
  finishMs: number;
}

export const defaultTimeouts: Omit<WebhookTimeouts, 'parkAfterMs'> = {
  leaseMs: 10_000,
  renewMs: 3_000,
  minBackoffMs: 1_000,
  maxBackoffMs: 300_000,
  minRoomBackoffMs: 1_000,
  maxRoomBackoffMs: 3_600_000,
  busyPollMs: 250,
  idlePollMs: 500,
  compareMs: 600_000,
  forgetEventsMs: 60_000,
  finishMs: 2_000,
};

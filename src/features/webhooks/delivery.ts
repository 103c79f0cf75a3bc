import { createHash } from 'node:crypto';
import type { RoomId } from '../../core/ids.ts';
import type { WebhookChange, WebhookPayload } from './payload.ts';
import type { Move } from './positions.ts';

type RoomEvent = Exclude<WebhookPayload, { type: 'changes' }>;
type AnyChange = WebhookChange | RoomEvent['data']['changes'][number];

/** The position of a room after a delivery. */
export interface DeliveredRoom extends Move {
  /** Whether the room has more changes. */
  hasMore: boolean;
  /** The age of the last of these changes in ms. Later changes are not older. */
  ageMs: number;
}

/** The content of one request, without its time. */
export interface Delivery {
  /** Two deliveries have the same id only if they have the same endpoint, rooms and revs. */
  id: string;
  rooms: DeliveredRoom[];
  type: WebhookPayload['type'];
  changes: SizedChange[];
}

/** A change and its JSON, which is made only once: to measure its size, and for the body. */
export interface SizedChange {
  change: AnyChange;
  json: string;
}

/** The payload that a consumer in the same process receives. */
export function toPayload(delivery: Delivery, now: Date): WebhookPayload {
  const changes = delivery.changes.map(({ change }) => change);
  return { type: delivery.type, timestamp: now.toISOString(), data: { changes } } as WebhookPayload;
}

/** The same payload as the body of a request. */
export function toBody(delivery: Delivery, now: Date): string {
  const changes = delivery.changes.map(({ json }) => json).join(',');
  return `{"type":"${delivery.type}","timestamp":"${now.toISOString()}","data":{"changes":[${changes}]}}`;
}

const maxIdLength = 255;

interface Range {
  room_id: RoomId;
  /** Such as `7-9`, or the name of an event. */
  revs: string;
}

/** A long id is replaced by a digest, because it is a header, and receivers store it. */
export function formatDeliveryId(endpoint: string, ranges: readonly Range[]): string {
  const text = `${endpoint}:${ranges.map(({ room_id, revs }) => `${room_id}.${revs}`).join(',')}`;
  if (text.length <= maxIdLength) return text;
  return `${endpoint}:${createHash('sha256').update(text).digest('hex')}`;
}

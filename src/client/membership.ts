import type { ChatClientError } from './client-error.ts';
import type { RoomConnection } from './connection.ts';
import type { AckCallback } from './line.ts';
import { Timeline } from './timeline.ts';
import { computeBackoffMs } from './timeouts.ts';
import type { Joined, Message, ServerEventPayloads } from './wire.ts';

export type ChangeEvent = Joined['events'][number];
type OtherChangeEvent = Exclude<ChangeEvent, { name: 'message:new' }>;

export interface SubscriptionEvents {
  /** The next message, and the next change of another kind. `isPast`: the rights and the room of `live` know of it. */
  onMessage(message: Message, rev: number, dropped: readonly Message[]): void;
  onChange(change: OtherChangeEvent, isPast: boolean): void;
  /** Joined, and nothing is missing. `isAnew`: the timeline is another one, with the latest page of history. */
  onJoined(joined: Pick<Joined, 'room' | 'rights'>, isNewTimeline: boolean): void;
  onRejected(error: ChatClientError): void;
}

/** Being in a room: joins, comes back with the cursor, and joins again where something is missing. */
export class Subscription {
  /** The number of the room, from the first answer on: what is announced behind that has it. */
  roomId: number | undefined;
  /** Undefined before the first join. */
  timeline: Timeline | undefined;
  readonly #connection: RoomConnection;
  readonly #ref: number | string;
  readonly #events: SubscriptionEvents;
  /** A timeline that has no history yet, and what was announced meanwhile. */
  #loading: { timeline: Timeline; buffered: (() => void)[] } | undefined;
  /** The join that is not answered yet; what comes of another one is of no interest. */
  #pendingJoin: object | undefined;
  #shouldJoinAgain = false;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;

  constructor(connection: RoomConnection, ref: number | string, events: SubscriptionEvents) {
    this.#connection = connection;
    this.#ref = ref;
    this.#events = events;
  }

  get isJoining(): boolean {
    return this.#pendingJoin !== undefined;
  }

  /** Joins; where it is in, it hears on, and learns of its rights anew. */
  join(): void {
    const { link } = this.#connection;
    if (!link) return;
    if (this.#pendingJoin) {
      this.#shouldJoinAgain = true;
      return;
    }
    this.stop();
    const attempt = {};
    this.#pendingJoin = attempt;
    const since = this.timeline?.cursor;
    const onAck: AckCallback<'room:join'> = (error, ack) => {
      if (attempt !== this.#pendingJoin) return;
      if (error) return this.#handleFailure(error);
      this.roomId = ack.room.id;
      for (const change of ack.events) if (attempt === this.#pendingJoin) this.handle(change, { isPast: true });
      // Who hears of a change may leave.
      if (attempt !== this.#pendingJoin) return;
      this.#pendingJoin = undefined;
      if (ack.recovered) this.#handleJoined(ack, false);
      else this.#startTimeline(ack);
      if (this.#shouldJoinAgain) this.join();
    };
    link.request(
      'room:join',
      { room_id: this.#ref, ...(since && { since }) },
      onAck,
      () => attempt === this.#pendingJoin,
    );
  }

  /** What is under way is forgotten. */
  stop(): void {
    clearTimeout(this.#retryTimer);
    this.#pendingJoin = this.#loading = undefined;
    this.#shouldJoinAgain = false;
  }

  /** `isAnnounced`: those before it have been said, so that a gap is a loss. */
  handle(change: ChangeEvent, { isAnnounced = true, isPast = false } = {}): void {
    const timeline = this.#loading?.timeline ?? this.timeline;
    const outcome = timeline?.advance(change.payload);
    if (outcome === 'gap' && isAnnounced && !this.#pendingJoin) this.join();
    if (outcome !== 'next') return;
    const deliver = this.#toDelivery(timeline!, change, isPast);
    if (this.#loading) this.#loading.buffered.push(deliver);
    else deliver();
  }

  #toDelivery(timeline: Timeline, change: ChangeEvent, isPast: boolean): () => void {
    if (change.name !== 'message:new') return () => this.#events.onChange(change, isPast);
    return () => {
      const message = toMessage(change.payload);
      const dropped = timeline.append(message);
      this.#events.onMessage(message, change.payload.rev, dropped);
    };
  }

  #handleJoined(joined: Joined, isNewTimeline: boolean): void {
    this.#failures = 0;
    this.#events.onJoined(joined, isNewTimeline);
  }

  /** Too much was missed, or this is the first time: history up to the join, and behind it what is said from then on. */
  #startTimeline(joined: Joined): void {
    const { last_seq } = joined.room;
    const loading = { timeline: new Timeline(joined, last_seq, this.#connection.maxMessages), buffered: [] };
    this.#loading = loading;
    if (last_seq === 0) return this.#complete(loading, joined);
    const page = { room_id: this.#ref, before: last_seq + 1, limit: firstPageSize };
    const onHistory: AckCallback<'message:history'> = (error, ack) => {
      if (loading !== this.#loading) return;
      if (error) return this.#handleFailure(error);
      loading.timeline.prepend(ack);
      this.#complete(loading, joined);
    };
    this.#connection.link!.request('message:history', page, onHistory, () => loading === this.#loading);
  }

  #complete({ timeline, buffered }: { timeline: Timeline; buffered: (() => void)[] }, joined: Joined): void {
    this.#loading = undefined;
    this.timeline = timeline;
    this.#handleJoined(joined, true);
    for (const deliver of buffered) deliver();
  }

  #handleFailure(error: ChatClientError): void {
    this.stop();
    if (error.isConnectionLoss) return; // joins when it is up again
    if (!error.isRetryable) return this.#events.onRejected(error);
    const delayMs = error.retryAfterMs ?? computeBackoffMs(this.#failures++, this.#connection.timeouts);
    this.#retryTimer = setTimeout(() => this.join(), delayMs);
  }
}

const firstPageSize = 100;

function toMessage({ rev, cursor, ...message }: ServerEventPayloads['message:new']): Message {
  return message;
}

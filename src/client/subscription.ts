import { computeBackoffMs, type RoomConnection } from './connection.ts';
import type { ChatClientError } from './errors.ts';
import type { AckCallback } from './link.ts';
import type { MessageList } from './message-list.ts';
import { requestPage } from './pages.ts';
import { Timeline } from './timeline.ts';
import type { ChangeEvent, Joined } from './wire.ts';

export interface SubscriptionEvents {
  /** Creates the list of messages for a new timeline, which begins before this `seq`. */
  createList(before: number): MessageList;
  /**
   * `isReplayed` is true if the change came with the acknowledgement of the join. In that case, the `room` and the
   * `rights` of the acknowledgement already include the change.
   */
  onChange(change: ChangeEvent, isReplayed: boolean): void;
  /**
   * `isNewTimeline` is true if the timeline was replaced by a new one with the latest page of history. If it is false, the
   * timeline continues, and no change is missing.
   */
  onJoined(joined: Joined, isNewTimeline: boolean): void;
  onRejected(error: ChatClientError): void;
}

const firstPageSize = 100;

/** The states in the third table of STATES.md. */
export type SubscriptionState = 'idle' | 'joining' | 'loading' | 'waiting';

/** Keeps a room joined: joins it, resumes at the cursor after a reconnect, and joins again if changes are missing. */
export class Subscription {
  /**
   * The number of the room. Events contain this number, even if the room was joined by its UUID. Undefined until the
   * first join is answered.
   */
  roomId: number | undefined;
  /** Undefined before the first join. */
  timeline: Timeline | undefined;
  readonly #connection: RoomConnection;
  readonly #ref: number | string;
  readonly #events: SubscriptionEvents;
  /** A new timeline whose page of history is being loaded, and the changes that have arrived in the meantime. */
  #loading: { timeline: Timeline; buffered: (() => void)[] } | undefined;
  /** Identifies the latest join while it is not answered. Answers to earlier joins are ignored. */
  #pendingJoin: object | undefined;
  #shouldJoinAgain = false;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;

  constructor(connection: RoomConnection, ref: number | string, events: SubscriptionEvents) {
    this.#connection = connection;
    this.#ref = ref;
    this.#events = events;
  }

  get state(): SubscriptionState {
    if (this.#pendingJoin) return 'joining';
    if (this.#loading) return 'loading';
    return this.#retryTimer ? 'waiting' : 'idle';
  }

  /** Joins the room. If the room is already joined, this keeps the subscription and reads the rights again. */
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
      for (const change of ack.events) if (attempt === this.#pendingJoin) this.handle(change, { isReplayed: true });
      // A listener may have called `leave()` in the meantime.
      if (attempt !== this.#pendingJoin) return;
      this.#pendingJoin = undefined;
      if (ack.recovered) this.#handleJoined(ack, false);
      else this.#startTimeline(ack);
      if (this.#shouldJoinAgain) this.join();
    };
    link.request(
      'room:join',
      { room_id: this.#ref, ...(since && { since }), ...this.#connection.joinOptions },
      onAck,
      () => attempt === this.#pendingJoin,
    );
  }

  /** Stops retrying, and ignores the answers to pending requests. */
  stop(): void {
    clearTimeout(this.#retryTimer);
    this.#pendingJoin = this.#loading = this.#retryTimer = undefined;
    this.#shouldJoinAgain = false;
  }

  /**
   * Handles a change. `isOrdered` is true if the server sent all earlier changes before this one, so that a gap means that
   * a change was lost. It is false for the acknowledgement of a message, which may arrive before earlier changes.
   */
  handle(change: ChangeEvent, { isOrdered = true, isReplayed = false } = {}): void {
    const timeline = this.#loading?.timeline ?? this.timeline;
    const outcome = timeline?.advance(change.payload);
    if (outcome === 'gap' && isOrdered && !this.#pendingJoin) this.join();
    if (outcome !== 'next') return;
    const deliver = () => this.#events.onChange(change, isReplayed);
    if (this.#loading) this.#loading.buffered.push(deliver);
    else deliver();
  }

  #handleJoined(joined: Joined, isNewTimeline: boolean): void {
    this.#failures = 0;
    this.#events.onJoined(joined, isNewTimeline);
  }

  /**
   * Starts a new timeline: after the first join, or if the client missed more changes than the server replays. Requests
   * the latest page of the history, and buffers the changes that arrive in the meantime.
   */
  #startTimeline(joined: Joined): void {
    const { last_seq } = joined.room;
    const list = this.#events.createList(last_seq + 1);
    const loading = { timeline: new Timeline(joined, list), buffered: [] };
    this.#loading = loading;
    list.hasOlder = last_seq > 0;
    if (last_seq === 0) return this.#completeTimeline(loading, joined);
    const onPage = (error: ChatClientError | undefined) => {
      if (error) this.#handleFailure(error);
      else this.#completeTimeline(loading, joined);
    };
    const target = { room_id: this.#ref };
    requestPage(this.#connection.link!, list, target, firstPageSize, onPage, () => loading === this.#loading);
  }

  #completeTimeline({ timeline, buffered }: { timeline: Timeline; buffered: (() => void)[] }, joined: Joined): void {
    this.#loading = undefined;
    this.timeline = timeline;
    this.#handleJoined(joined, true);
    for (const deliver of buffered) deliver();
  }

  #handleFailure(error: ChatClientError): void {
    this.stop();
    // No retry is needed here, because the room joins again when the client has reconnected.
    if (error.isConnectionLoss) return;
    if (!error.isRetryable) return this.#events.onRejected(error);
    const delayMs = error.retryAfterMs ?? computeBackoffMs(this.#failures++, this.#connection.timeouts);
    this.#retryTimer = setTimeout(() => this.join(), delayMs);
  }
}

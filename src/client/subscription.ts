import { Backoff } from './backoff.ts';
import type { ChatClientError } from './errors.ts';
import type { AckCallback } from './link.ts';
import type { MessageList } from './message-list.ts';
import type { RoomConnection } from './room-connection.ts';
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
   * Called with each acknowledgement at once, in the order of the events. `onJoined` may follow later, when the page of
   * history has been loaded, so newer events may have arrived before it.
   */
  onAcknowledged(joined: Joined): void;
  /**
   * `isNewTimeline` is true if the timeline was replaced by a new one with the latest page of history. If it is false, the
   * timeline continues, and no change is missing. `isReset` is true if it replaces another timeline.
   */
  onJoined(joined: Joined, isNewTimeline: boolean, isReset?: boolean): void;
  onRejected(error: ChatClientError): void;
}

/** The client's copy of the end of a room's log: the position in the log, and the latest messages. */
export interface Timeline {
  /** `NaN` if only the cursor is known. */
  rev: number;
  cursor: string;
  readonly list: MessageList;
}

interface Loading {
  timeline: Timeline;
  buffered: (() => void)[];
}

type JoinOption = 'reads' | 'presence';
type JoinOptions = { [option in JoinOption]?: true };

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
  #loading: Loading | undefined;
  /** Identifies the latest join while it is not answered. Answers to earlier joins are ignored. */
  #pendingJoin: object | undefined;
  #shouldJoinAgain = false;
  /** The options of every later join. */
  readonly #options: JoinOptions = {};
  /** The options of the current join. Undefined if the room is not joined. */
  #asked: JoinOptions | undefined;
  readonly #backoff: Backoff;

  constructor(connection: RoomConnection, ref: number | string, events: SubscriptionEvents) {
    this.#connection = connection;
    this.#ref = ref;
    this.#events = events;
    this.#backoff = new Backoff(connection.limits);
  }

  /**
   * Asks for this with every join from now on. If the room is joined without it, the room is joined once more, unless
   * `isUrgent` is false.
   */
  ask(option: JoinOption, isUrgent = true): void {
    this.#options[option] = true;
    const isMissing = () => this.#asked !== undefined && !this.#asked[option];
    if (!isUrgent || !isMissing()) return;
    // Deferred, so that one join asks for everything that a view uses.
    void Promise.resolve().then(() => {
      if (isMissing()) this.join();
    });
  }

  get state(): SubscriptionState {
    if (this.#pendingJoin) return 'joining';
    if (this.#loading) return 'loading';
    return this.#backoff.isWaiting ? 'waiting' : 'idle';
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
    this.#asked = { ...this.#options };
    const since = this.timeline?.cursor;
    const onAck: AckCallback<'room:join'> = (error, ack) => {
      if (attempt !== this.#pendingJoin) return;
      if (error) return this.#handleFailure(error);
      this.roomId = ack.room.id;
      this.#events.onAcknowledged(ack);
      const { timeline } = this;
      // All changes since the cursor are in `events`.
      if (timeline && ack.recovered && Number.isNaN(timeline.rev)) timeline.rev = ack.rev - ack.events.length;
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
      { room_id: this.#ref, ...(since && { since }), ...this.#asked },
      onAck,
      () => attempt === this.#pendingJoin,
    );
  }

  /** Stops retrying, and ignores the answers to pending requests. */
  stop(): void {
    this.#backoff.stop();
    this.#pendingJoin = this.#loading = this.#asked = undefined;
    this.#shouldJoinAgain = false;
  }

  /**
   * Handles a change. `isOrdered` is true if the server sent all earlier changes before this one, so that a gap means that
   * a change was lost. It is false for the acknowledgement of a message, which may arrive before earlier changes.
   */
  handle(change: ChangeEvent, { isOrdered = true, isReplayed = false } = {}): void {
    const timeline = this.#loading?.timeline ?? this.timeline;
    const { rev, cursor } = change.payload;
    // An event that is not a change of the log has no `rev`.
    if (!timeline || !(rev > timeline.rev)) return;
    if (rev > timeline.rev + 1) {
      if (isOrdered && !this.#pendingJoin) this.join();
      return;
    }
    timeline.rev = rev;
    timeline.cursor = cursor;
    const deliver = () => this.#events.onChange(change, isReplayed);
    if (this.#loading) this.#loading.buffered.push(deliver);
    else deliver();
  }

  #handleJoined(joined: Joined, isNewTimeline: boolean, isReset?: boolean): void {
    this.#backoff.reset();
    this.#events.onJoined(joined, isNewTimeline, isReset);
  }

  /**
   * Starts a new timeline: after the first join, or if the client missed more changes than the server replays. Requests
   * the latest page of the history, and buffers the changes that arrive in the meantime.
   */
  #startTimeline(joined: Joined): void {
    const { room, rev, cursor } = joined;
    const list = this.#events.createList(room.last_seq + 1);
    const loading: Loading = { timeline: { rev, cursor, list }, buffered: [] };
    this.#loading = loading;
    list.hasOlder = room.last_seq > 0;
    if (!list.hasOlder) return this.#completeTimeline(loading, joined);
    list.load(
      (error) => (error ? this.#handleFailure(error) : this.#completeTimeline(loading, joined)),
      () => loading === this.#loading,
    );
  }

  #completeTimeline({ timeline, buffered }: Loading, joined: Joined): void {
    const isReset = this.timeline !== undefined;
    this.#loading = undefined;
    this.timeline = timeline;
    this.#handleJoined(joined, true, isReset);
    for (const deliver of buffered) deliver();
  }

  #handleFailure(error: ChatClientError): void {
    this.stop();
    // No retry is needed here, because the room joins again when the client has reconnected.
    if (error.isConnectionLoss) return;
    if (!error.isRetryable) return this.#events.onRejected(error);
    this.#backoff.wait(() => this.join(), error.retryAfterMs);
  }
}

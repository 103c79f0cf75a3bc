import type { ChatClientError } from './client-error.ts';
import type { Connected } from './connection.ts';
import type { Answered } from './line.ts';
import { Timeline } from './timeline.ts';
import { pauseAfter } from './timings.ts';
import type { Announcements, Joined, Message } from './wire.ts';

export type Change = Joined['events'][number];
type OtherChange = Exclude<Change, { name: 'message:new' }>;

export interface MembershipEvents {
  /** The next message, and the next change of another kind. `isPast`: the rights and the room of `live` know of it. */
  message(message: Message, rev: number, dropped: readonly Message[]): void;
  change(change: OtherChange, isPast: boolean): void;
  /** Joined, and nothing is missing. `isAnew`: the timeline is another one, with the latest page of history. */
  live(joined: Pick<Joined, 'room' | 'rights'>, isAnew: boolean): void;
  refused(error: ChatClientError): void;
}

/** Being in a room: joins, comes back with the cursor, and joins again where something is missing. */
export class Membership {
  /** The number of the room, from the first answer on: what is announced behind that has it. */
  roomId: number | undefined;
  /** Undefined before the first join. */
  timeline: Timeline | undefined;
  readonly #connection: Connected;
  readonly #ref: number | string;
  readonly #events: MembershipEvents;
  /** A timeline that has no history yet, and what was announced meanwhile. */
  #fresh: { timeline: Timeline; late: (() => void)[] } | undefined;
  /** The join that is not answered yet; what comes of another one is of no interest. */
  #asked: object | undefined;
  #isToAskAgain = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;

  constructor(connection: Connected, ref: number | string, events: MembershipEvents) {
    this.#connection = connection;
    this.#ref = ref;
    this.#events = events;
  }

  get isAsking(): boolean {
    return this.#asked !== undefined;
  }

  /** Joins; where it is in, it hears on, and learns of its rights anew. */
  join(): void {
    const { line } = this.#connection;
    if (!line) return;
    if (this.#asked) {
      this.#isToAskAgain = true;
      return;
    }
    this.stop();
    const asked = {};
    this.#asked = asked;
    const since = this.timeline?.cursor;
    const joined: Answered<'room:join'> = (error, ack) => {
      if (asked !== this.#asked) return;
      if (error) return this.#failed(error);
      this.roomId = ack.room.id;
      for (const change of ack.events) if (asked === this.#asked) this.hear(change, { isPast: true });
      // Who hears of a change may leave.
      if (asked !== this.#asked) return;
      this.#asked = undefined;
      if (ack.recovered) this.#live(ack, false);
      else this.#begin(ack);
      if (this.#isToAskAgain) this.join();
    };
    line.ask('room:join', { room_id: this.#ref, ...(since && { since }) }, joined, () => asked === this.#asked);
  }

  /** What is under way is forgotten. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#asked = this.#fresh = undefined;
    this.#isToAskAgain = false;
  }

  /** `isAnnounced`: those before it have been said, so that a gap is a loss. */
  hear(change: Change, { isAnnounced = true, isPast = false } = {}): void {
    const timeline = this.#fresh?.timeline ?? this.timeline;
    const place = timeline?.take(change.payload);
    if (place === 'gap' && isAnnounced && !this.#asked) this.join();
    if (place !== 'next') return;
    const tell = this.#taken(timeline!, change, isPast);
    if (this.#fresh) this.#fresh.late.push(tell);
    else tell();
  }

  #taken(timeline: Timeline, change: Change, isPast: boolean): () => void {
    if (change.name !== 'message:new') return () => this.#events.change(change, isPast);
    return () => {
      const message = messageOf(change.payload);
      const dropped = timeline.append(message);
      this.#events.message(message, change.payload.rev, dropped);
    };
  }

  #live(joined: Joined, isAnew: boolean): void {
    this.#failures = 0;
    this.#events.live(joined, isAnew);
  }

  /** Too much was missed, or this is the first time: history up to the join, and behind it what is said from then on. */
  #begin(joined: Joined): void {
    const { last_seq } = joined.room;
    const fresh = { timeline: new Timeline(joined, last_seq, this.#connection.maxMessages), late: [] };
    this.#fresh = fresh;
    if (last_seq === 0) return this.#complete(fresh, joined);
    const page = { room_id: this.#ref, before: last_seq + 1, limit: firstPage };
    const read: Answered<'message:history'> = (error, ack) => {
      if (fresh !== this.#fresh) return;
      if (error) return this.#failed(error);
      fresh.timeline.prepend(ack);
      this.#complete(fresh, joined);
    };
    this.#connection.line!.ask('message:history', page, read, () => fresh === this.#fresh);
  }

  #complete({ timeline, late }: { timeline: Timeline; late: (() => void)[] }, joined: Joined): void {
    this.#fresh = undefined;
    this.timeline = timeline;
    this.#live(joined, true);
    for (const tell of late) tell();
  }

  #failed(error: ChatClientError): void {
    this.stop();
    if (error.isOfLine) return; // joins when it is up again
    if (!error.isForNow) return this.#events.refused(error);
    const pause = error.retryAfterMs ?? pauseAfter(this.#failures++, this.#connection.timings);
    this.#timer = setTimeout(() => this.join(), pause);
  }
}

const firstPage = 100;

function messageOf({ rev, cursor, ...message }: Announcements['message:new']): Message {
  return message;
}

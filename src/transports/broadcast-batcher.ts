import * as ws from 'ws';

/** The messages of one write to a connection. All connections that receive them share the buffers. */
export interface WrittenBatch {
  texts: readonly string[];
  /** The texts as WebSocket frames: one for each, or all of them in one buffer. */
  frames: readonly Buffer[];
}

interface Collaborators<Room, Subscriber> {
  /** If the set changes while it is iterated, the iteration must include members that are added. */
  listSubscribers: (room: Room) => Iterable<Subscriber> & { readonly size: number };
  write: (subscriber: Subscriber, batch: WrittenBatch) => void;
  /** Called if `write` throws. The subscriber has missed messages, so it must be disconnected. */
  onError: (subscriber: Subscriber, error: unknown) => void;
}

/** The messages of one room that wait to be written, at the end of this tick or in a pass. */
interface PendingBatch<Subscriber> {
  texts: string[];
  frames: Buffer[];
  /**
   * The number of leading messages that a subscriber does not receive with the batch: it has received them already, or
   * they are older than its subscription. A subscriber without an entry receives all messages.
   */
  offsets: Map<Subscriber, number>;
}

/** The writing of a batch to a large room, which takes several ticks. */
interface Pass<Subscriber> {
  batch: PendingBatch<Subscriber>;
  /** The subscribers that it has not reached yet. */
  remaining: Iterator<Subscriber>;
  /** The number of messages when the pass began. Subscribers that it reaches later also get the messages that have arrived since. */
  begunWith: number;
}

/**
 * The maximum number of writes to a room in a tick. A write takes some microseconds. In a larger room, a pass then yields to
 * the event loop, so that other rooms and new messages do not wait for the whole room.
 */
const maxWritesPerTick = 64;

/**
 * Collects the messages of each room and writes them at the end of the tick. So a batch costs one write per subscriber,
 * and all subscribers share one buffer. A large room is written in passes of several ticks, and messages that arrive during
 * a pass join it. `skipPending` and `catchUp` keep the order for a subscriber that joins, leaves, or receives something else
 * before the batch is written, and `finish` for all subscribers of a room.
 */
export class BroadcastBatcher<Room, Subscriber> {
  readonly #listSubscribers: Collaborators<Room, Subscriber>['listSubscribers'];
  readonly #writeTo: Collaborators<Room, Subscriber>['write'];
  readonly #onError: Collaborators<Room, Subscriber>['onError'];
  readonly #rooms = new Map<Room, PendingBatch<Subscriber>>();
  readonly #passes = new Map<Room, Pass<Subscriber>>();
  #deliveries = 0;

  constructor({ listSubscribers, write, onError }: Collaborators<Room, Subscriber>) {
    this.#listSubscribers = listSubscribers;
    this.#writeTo = write;
    this.#onError = onError;
  }

  /** How many messages were written, counted once for each subscriber that received them. */
  get deliveries(): number {
    return this.#deliveries;
  }

  /** `frame` is the encoded text. A caller that appends a text to several rooms encodes it once. */
  append(room: Room, text: string, frame: Buffer = encodeFrame(text)): void {
    let batch = this.#find(room);
    if (!batch) {
      // `nextTick` runs after the code that answers requests, so the answers and the batch share one write.
      if (this.#rooms.size === 0) process.nextTick(() => this.#flush());
      batch = { texts: [], frames: [], offsets: new Map() };
      this.#rooms.set(room, batch);
    }
    batch.texts.push(text);
    batch.frames.push(frame);
  }

  /** Excludes the pending messages for this subscriber, so that it receives only later ones. */
  skipPending(room: Room, subscriber: Subscriber): void {
    const batch = this.#find(room);
    batch?.offsets.set(subscriber, batch.texts.length);
  }

  /** Writes the pending messages now, before the subscriber receives something else or leaves. */
  catchUp(room: Room, subscriber: Subscriber): void {
    const batch = this.#find(room);
    if (batch) this.#writePending(batch, subscriber, (from) => sliceFrom(batch, from));
  }

  /** Writes the pending messages to all subscribers now, before all of them receive something else. */
  finish(room: Room): void {
    const batch = this.#find(room);
    if (!batch) return;
    const slice = createSlicer(batch);
    for (const subscriber of this.#listSubscribers(room)) this.#writePending(batch, subscriber, slice);
  }

  #find(room: Room): PendingBatch<Subscriber> | undefined {
    return this.#passes.get(room)?.batch ?? this.#rooms.get(room);
  }

  #writePending(
    { texts, offsets }: PendingBatch<Subscriber>,
    subscriber: Subscriber,
    slice: (from: number) => WrittenBatch,
  ): void {
    const from = offsets.get(subscriber) ?? 0;
    if (from === texts.length) return;
    // Set before the write, because a subscriber whose write fails leaves, which calls `catchUp`.
    offsets.set(subscriber, texts.length);
    this.#write(subscriber, slice(from));
  }

  #write(subscriber: Subscriber, batch: WrittenBatch): void {
    this.#deliveries += batch.texts.length;
    try {
      this.#writeTo(subscriber, batch);
    } catch (error) {
      this.#onError(subscriber, error);
    }
  }

  #flush(): void {
    for (const [room, batch] of this.#rooms) {
      this.#rooms.delete(room);
      const subscribers = this.#listSubscribers(room);
      if (subscribers.size <= maxWritesPerTick) {
        this.#writeAll(batch, subscribers);
      } else {
        this.#beginPass(room, batch);
        this.#continuePass(room);
      }
    }
  }

  #writeAll(batch: PendingBatch<Subscriber>, subscribers: Iterable<Subscriber>): void {
    const { texts, offsets } = batch;
    const all = joinFrames(batch);
    for (const subscriber of subscribers) {
      const from = offsets.size > 0 ? (offsets.get(subscriber) ?? 0) : 0;
      if (from === 0) this.#write(subscriber, all);
      else if (from < texts.length) this.#write(subscriber, sliceFrom(batch, from));
    }
  }

  #beginPass(room: Room, batch: PendingBatch<Subscriber>): void {
    const remaining = this.#listSubscribers(room)[Symbol.iterator]();
    this.#passes.set(room, { batch, remaining, begunWith: batch.texts.length });
  }

  #continuePass(room: Room): void {
    const { batch, remaining, begunWith } = this.#passes.get(room)!;
    const slice = createSlicer(batch);
    for (let writes = 0; writes < maxWritesPerTick; writes++) {
      const { done, value: subscriber } = remaining.next();
      if (!done) this.#writePending(batch, subscriber, slice);
      else if (batch.texts.length === begunWith) return void this.#passes.delete(room);
      else {
        // Some messages arrived during the pass. The next pass writes them to the subscribers that this one had already reached.
        this.#beginPass(room, dropFirst(batch, begunWith));
        break;
      }
    }
    setImmediate(() => this.#continuePass(room));
  }
}

function dropFirst<Subscriber>(batch: PendingBatch<Subscriber>, count: number): PendingBatch<Subscriber> {
  const offsets = new Map<Subscriber, number>();
  for (const [subscriber, offset] of batch.offsets) if (offset > count) offsets.set(subscriber, offset - count);
  return { texts: batch.texts.slice(count), frames: batch.frames.slice(count), offsets };
}

/** Returns a function that joins the frames. Consecutive subscribers that need the same messages share the result. */
function createSlicer(batch: PendingBatch<unknown>): (from: number) => WrittenBatch {
  let last: { from: number; to: number; written: WrittenBatch } | undefined;
  return (from) => {
    const to = batch.texts.length;
    if (last?.from !== from || last.to !== to) last = { from, to, written: joinFrames(sliceFrom(batch, from)) };
    return last.written;
  };
}

const joinFrames = ({ texts, frames }: WrittenBatch): WrittenBatch => ({
  texts,
  frames: frames.length > 1 ? [Buffer.concat(frames)] : frames,
});

/** Does not join the frames: if few subscribers need a part of a batch, the copy costs more than it saves. */
const sliceFrom = ({ texts, frames }: WrittenBatch, from: number): WrittenBatch => ({
  texts: texts.slice(from),
  frames: frames.slice(from),
});

const frameOptions = { fin: true, rsv1: false, opcode: 1, mask: false, readOnly: false };

/** `ws` encodes frames with this class. Its type declarations omit the class. */
const { Sender } = ws as unknown as {
  Sender: { frame(data: Buffer, options: typeof frameOptions): Buffer[] };
};

/**
 * Encodes the text as one WebSocket frame in one buffer. `ws` creates two buffers for each frame, its header and its
 * payload, and the operating system writes one buffer faster than two.
 */
export function encodeFrame(text: string): Buffer {
  return Buffer.concat(Sender.frame(Buffer.from(text), frameOptions));
}

interface WebSocketInternals {
  _sender: { sendFrame(frames: Buffer[]): void };
  _socket: { cork(): void; uncork(): void };
}

/** Writes encoded frames in the same way as engine.io. The WebSocket must not use compression. */
export function writeFrames(webSocket: ws.WebSocket, frames: readonly Buffer[]): void {
  const { _sender: sender, _socket: socket } = webSocket as unknown as WebSocketInternals;
  if (frames.length === 1) return sender.sendFrame([frames[0]!]);
  socket.cork();
  for (const frame of frames) sender.sendFrame([frame]);
  socket.uncork();
}

import * as ws from 'ws';

/** The messages of one write to a connection. All connections that receive them share the buffers. */
export interface WrittenBatch {
  texts: readonly string[];
  /** The texts as WebSocket frames: one for each, or all of them in one buffer. */
  frames: readonly Buffer[];
}

interface Collaborators<Room, Subscriber> {
  listSubscribers: (room: Room) => Iterable<Subscriber>;
  write: (subscriber: Subscriber, batch: WrittenBatch) => void;
  /** Called if `write` throws. The subscriber has missed messages, so it must be disconnected. */
  onError: (subscriber: Subscriber, error: unknown) => void;
}

/** The messages of one room that wait to be written at the end of this tick. */
interface PendingBatch<Subscriber> {
  texts: string[];
  frames: Buffer[];
  /**
   * The number of leading messages that a subscriber does not receive with the batch: it has received them already, or
   * they are older than its subscription. A subscriber without an entry receives all messages.
   */
  offsets: Map<Subscriber, number>;
}

/**
 * Collects the messages of each room and writes them at the end of the tick. So a batch costs one write per subscriber,
 * and all subscribers share one buffer. `skipPending` and `catchUp` keep the order for a subscriber that joins, leaves,
 * or receives something else before the batch is written.
 */
export class BroadcastBatcher<Room, Subscriber> {
  readonly #listSubscribers: (room: Room) => Iterable<Subscriber>;
  readonly #writeTo: Collaborators<Room, Subscriber>['write'];
  readonly #onError: Collaborators<Room, Subscriber>['onError'];
  readonly #rooms = new Map<Room, PendingBatch<Subscriber>>();
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
    let batch = this.#rooms.get(room);
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
    const batch = this.#rooms.get(room);
    batch?.offsets.set(subscriber, batch.texts.length);
  }

  /** Writes the pending messages now, before the subscriber receives something else or leaves. */
  catchUp(room: Room, subscriber: Subscriber): void {
    const batch = this.#rooms.get(room);
    if (!batch) return;
    const from = batch.offsets.get(subscriber) ?? 0;
    if (from === batch.texts.length) return;
    batch.offsets.set(subscriber, batch.texts.length);
    this.#write(subscriber, sliceFrom(batch, from));
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
    const rooms = [...this.#rooms];
    this.#rooms.clear();
    for (const [room, batch] of rooms) {
      const { texts, frames, offsets } = batch;
      const all = { texts, frames: frames.length > 1 ? [Buffer.concat(frames)] : frames };
      for (const subscriber of this.#listSubscribers(room)) {
        const from = offsets.size > 0 ? (offsets.get(subscriber) ?? 0) : 0;
        if (from === 0) this.#write(subscriber, all);
        else if (from < texts.length) this.#write(subscriber, sliceFrom(batch, from));
      }
    }
  }
}

/** Does not concatenate the frames: few subscribers need a part of a batch, so copying would cost more than it saves. */
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

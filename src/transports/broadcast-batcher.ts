import * as ws from 'ws';

/** One write to a connection. All connections share the bytes. */
export interface WrittenBatch {
  texts: readonly string[];
  /** The texts as WebSocket frames: one for each, or all of them in one buffer. */
  frames: readonly Buffer[];
}

interface Collaborators<Room, Subscriber> {
  listSubscribers: (room: Room) => Iterable<Subscriber>;
  write: (subscriber: Subscriber, batch: WrittenBatch) => void;
  /** Writing has thrown: the subscriber has a gap and must be disconnected. */
  onError: (subscriber: Subscriber, error: unknown) => void;
}

/** The messages of a room in this tick. */
interface PendingBatch<Subscriber> {
  texts: string[];
  frames: Buffer[];
  /** How many of the messages a subscriber has received already, or does not need because it joined after them. */
  offsets: Map<Subscriber, number>;
}

/**
 * Writes the messages of rooms once per tick of the event loop: a batch costs each subscriber one write, of a buffer that
 * all share. `skipPending` and `catchUp` keep the order for a subscriber that joins, leaves, or receives something else
 * in between.
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

  /** Texts, each counted for every subscriber that it was written to. */
  get deliveries(): number {
    return this.#deliveries;
  }

  append(room: Room, text: string): void {
    let batch = this.#rooms.get(room);
    if (!batch) {
      // After the answers of this tick, so that they share a write with the batch.
      if (this.#rooms.size === 0) process.nextTick(() => this.#flush());
      batch = { texts: [], frames: [], offsets: new Map() };
      this.#rooms.set(room, batch);
    }
    batch.texts.push(text);
    batch.frames.push(encodeFrame(text));
  }

  /** The subscriber receives only later messages. */
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

/** For a few subscribers: separate frames, so that no buffer is copied for a single connection. */
const sliceFrom = ({ texts, frames }: WrittenBatch, from: number): WrittenBatch => ({
  texts: texts.slice(from),
  frames: frames.slice(from),
});

const frameOptions = { fin: true, rsv1: false, opcode: 1, mask: false, readOnly: false };

/** The class that `ws` itself encodes frames with; its types omit it. */
const { Sender } = ws as unknown as {
  Sender: { frame(data: Buffer, options: typeof frameOptions): Buffer[] };
};

/** In one buffer: the system writes it faster than the two that `ws` creates for each frame. */
export function encodeFrame(text: string): Buffer {
  return Buffer.concat(Sender.frame(Buffer.from(text), frameOptions));
}

interface WebSocketInternals {
  _sender: { sendFrame(frames: Buffer[]): void };
  _socket: { cork(): void; uncork(): void };
}

/** Writes frames to a WebSocket that compresses nothing, as engine.io does. */
export function writeFrames(webSocket: ws.WebSocket, frames: readonly Buffer[]): void {
  const { _sender: sender, _socket: socket } = webSocket as unknown as WebSocketInternals;
  if (frames.length === 1) return sender.sendFrame([frames[0]!]);
  socket.cork();
  for (const frame of frames) sender.sendFrame([frame]);
  socket.uncork();
}

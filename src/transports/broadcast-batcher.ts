import * as ws from 'ws';

/** What is written to a connection at once. All connections share the bytes. */
export interface WrittenBatch {
  texts: readonly string[];
  /** The texts as WebSocket frames: one for each, or all of them in one buffer. */
  frames: readonly Buffer[];
}

interface Collaborators<Room, Subscriber> {
  listSubscribers: (room: Room) => Iterable<Subscriber>;
  write: (subscriber: Subscriber, batch: WrittenBatch) => void;
  /** Writing has thrown: the member has a gap, and must go. */
  onError: (subscriber: Subscriber, error: unknown) => void;
}

/** What was said in a room in this turn. */
interface PendingBatch<Subscriber> {
  texts: string[];
  frames: Buffer[];
  /** Members that have had the first so many of them, or came after them. */
  offsets: Map<Subscriber, number>;
}

/**
 * Writes what is said in rooms once per turn of the event loop: a batch of messages costs each member one write, of a
 * buffer that is made once. Who comes, goes, or is written to by somebody else in between keeps the order by `entered`
 * and `catchUp`.
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

  /** Texts, each counted for every member that it was written to. */
  get deliveries(): number {
    return this.#deliveries;
  }

  append(room: Room, text: string): void {
    let batch = this.#rooms.get(room);
    if (!batch) {
      // After the answers that this turn gives, so that they can go out with it.
      if (this.#rooms.size === 0) process.nextTick(() => this.#flush());
      batch = { texts: [], frames: [], offsets: new Map() };
      this.#rooms.set(room, batch);
    }
    batch.texts.push(text);
    batch.frames.push(encodeFrame(text));
  }

  /** It hears what is said from now on. */
  skipPending(room: Room, subscriber: Subscriber): void {
    const batch = this.#rooms.get(room);
    batch?.offsets.set(subscriber, batch.texts.length);
  }

  /** It is written to, or goes: what was said before comes first. */
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

/** For a few: each frame by itself, so that nothing is copied for one of them. */
const sliceFrom = ({ texts, frames }: WrittenBatch, from: number): WrittenBatch => ({
  texts: texts.slice(from),
  frames: frames.slice(from),
});

const frameOptions = { fin: true, rsv1: false, opcode: 1, mask: false, readOnly: false };

/** `ws` frames a text as it would itself; its types leave the class out. */
const { Sender } = ws as unknown as {
  Sender: { frame(data: Buffer, options: typeof frameOptions): Buffer[] };
};

/** In one buffer: the system writes one faster than the two that `ws` makes of each frame. */
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

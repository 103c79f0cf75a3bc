import * as ws from 'ws';

/** What is written to a connection at once. All connections share the bytes. */
export interface WrittenBatch {
  texts: readonly string[];
  /** The texts as WebSocket frames: one for each, or all of them in one buffer. */
  frames: readonly Buffer[];
}

interface Collaborators<Room, Member> {
  listMembers: (room: Room) => Iterable<Member>;
  write: (member: Member, written: WrittenBatch) => void;
  /** Writing has thrown: the member has a gap, and must go. */
  failed: (member: Member, error: unknown) => void;
}

/** What was said in a room in this turn. */
interface PendingBatch<Member> {
  texts: string[];
  frames: Buffer[];
  /** Members that have had the first so many of them, or came after them. */
  seen: Map<Member, number>;
}

/**
 * Writes what is said in rooms once per turn of the event loop: a batch of messages costs each member one write, of a
 * buffer that is made once. Who comes, goes, or is written to by somebody else in between keeps the order by `entered`
 * and `catchUp`.
 */
export class BroadcastBatcher<Room, Member> {
  readonly #listMembers: (room: Room) => Iterable<Member>;
  readonly #writeTo: Collaborators<Room, Member>['write'];
  readonly #failed: Collaborators<Room, Member>['failed'];
  readonly #rooms = new Map<Room, PendingBatch<Member>>();
  #deliveries = 0;

  constructor({ listMembers, write, failed }: Collaborators<Room, Member>) {
    this.#listMembers = listMembers;
    this.#writeTo = write;
    this.#failed = failed;
  }

  /** Texts, each counted for every member that it was written to. */
  get deliveries(): number {
    return this.#deliveries;
  }

  append(room: Room, text: string): void {
    let said = this.#rooms.get(room);
    if (!said) {
      // After the answers that this turn gives, so that they can go out with it.
      if (this.#rooms.size === 0) process.nextTick(() => this.#flush());
      said = { texts: [], frames: [], seen: new Map() };
      this.#rooms.set(room, said);
    }
    said.texts.push(text);
    said.frames.push(encodeFrame(text));
  }

  /** It hears what is said from now on. */
  memberAdded(room: Room, member: Member): void {
    const said = this.#rooms.get(room);
    said?.seen.set(member, said.texts.length);
  }

  /** It is written to, or goes: what was said before comes first. */
  catchUp(room: Room, member: Member): void {
    const said = this.#rooms.get(room);
    if (!said) return;
    const from = said.seen.get(member) ?? 0;
    if (from === said.texts.length) return;
    said.seen.set(member, said.texts.length);
    this.#write(member, since(said, from));
  }

  #write(member: Member, written: WrittenBatch): void {
    this.#deliveries += written.texts.length;
    try {
      this.#writeTo(member, written);
    } catch (error) {
      this.#failed(member, error);
    }
  }

  #flush(): void {
    const rooms = [...this.#rooms];
    this.#rooms.clear();
    for (const [room, said] of rooms) {
      const { texts, frames, seen } = said;
      const all = { texts, frames: frames.length > 1 ? [Buffer.concat(frames)] : frames };
      for (const member of this.#listMembers(room)) {
        const from = seen.size > 0 ? (seen.get(member) ?? 0) : 0;
        if (from === 0) this.#write(member, all);
        else if (from < texts.length) this.#write(member, since(said, from));
      }
    }
  }
}

/** For a few: each frame by itself, so that nothing is copied for one of them. */
const since = ({ texts, frames }: WrittenBatch, from: number): WrittenBatch => ({
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

interface Inside {
  _sender: { sendFrame(frames: Buffer[]): void };
  _socket: { cork(): void; uncork(): void };
}

/** Writes frames to a WebSocket that compresses nothing, as engine.io does. */
export function writeFrames(webSocket: ws.WebSocket, frames: readonly Buffer[]): void {
  const { _sender: sender, _socket: socket } = webSocket as unknown as Inside;
  if (frames.length === 1) return sender.sendFrame([frames[0]!]);
  socket.cork();
  for (const frame of frames) sender.sendFrame([frame]);
  socket.uncork();
}

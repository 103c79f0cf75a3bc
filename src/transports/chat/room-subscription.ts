import type { Actor } from '../../core/authorization.ts';
import { type Cursor, formatCursor, type Position } from '../../core/cursor.ts';
import { ChatError, parse, type RemovalCode } from '../../core/errors.ts';
import type { Member } from '../../core/feed/room-feed.ts';
import type { RoomId } from '../../core/ids.ts';
import type { Change, MessageChange } from '../../core/log/change.ts';
import type { Rooms } from '../../features/app-context.ts';
import { readHistory } from '../../features/messages/history.ts';
import { sendMessage } from '../../features/messages/send-message.ts';
import { joinRoom } from '../../features/rooms/join-room.ts';
import { type ChatFrame, type CommandId, chatCommands } from '../../protocol/chat-commands.ts';
import type { ChatAudience, Listener } from './broadcaster.ts';
import { messageFrame } from './message-frame.ts';

type Id = CommandId | undefined;
type Command = Record<string, unknown>;

/** What a stay needs of the session it belongs to. */
export interface Guest {
  readonly actor: Actor;
  send(frame: ChatFrame): void;
  /** Frames as they go over the wire. */
  transmit(frames: readonly Buffer[]): void;
  refuse(error: ChatError, id: Id): void;
  /** Closes the connection, for the client to come back. */
  reconnect(): void;
  /** The same, for a defect. */
  fail(error: unknown): void;
}

/** A message of this connection that is stored: its echo carries the command's `id`. */
interface Expected {
  id: Id;
  echoed: () => void;
  forget: () => void;
}

interface Collaborators {
  room: RoomId;
  guest: Guest;
  rooms: Rooms;
  audience: ChatAudience;
}

/** One session in one room, from its select until it selects another, is taken out, or closes. */
export class ChatStay implements Member, Listener {
  readonly room: RoomId;
  readonly #guest: Guest;
  readonly #rooms: Rooms;
  readonly #audience: ChatAudience;
  #leaveFeed: (() => void) | undefined;
  #isOver = false;
  /** Messages on their way: a command of another kind waits for them, the next message does not. */
  #inFlight: Set<Promise<unknown>> | undefined;
  /** By their `rev`; for one who only listens there is no map. */
  #expected: Map<number, Expected> | undefined;

  constructor({ room, guest, rooms, audience }: Collaborators) {
    this.room = room;
    this.#guest = guest;
    this.#rooms = rooms;
    this.#audience = audience;
  }

  get actor(): Actor {
    return this.#guest.actor;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Answers `CONNECTED`, then what was missed; from then on the room is heard. */
  async begin(since: Cursor | null | undefined, id: Id): Promise<void> {
    const leave = await joinRoom(this.#rooms, this, this.room, since, ({ rights, head, recovered, events }) => {
      if (this.#isOver) return;
      this.#sendConnected(rights, head, recovered, id);
      for (const change of events) this.tell(change);
    });
    if (this.#isOver) leave();
    else this.#leaveFeed = leave;
  }

  /** Selecting the current room again changes nothing. */
  confirm(id: Id): void {
    const feed = this.#rooms.feeds.find(this.room);
    if (!feed?.position) throw new ChatError('UNAVAILABLE');
    this.#sendConnected(feed.rightsOf(this.actor), feed.position, false, id);
  }

  #sendConnected(rights: string, head: Position, recovered: boolean, id: Id): void {
    const position = { rev: head.rev, cursor: formatCursor(head) };
    const room_id = this.room;
    this.#guest.send({ type: 'status', data: 'CONNECTED', room_id, rights, ...position, recovered, id });
  }

  tell(change: Change): void {
    if (change.kind === 'message' && !this.hearOwn(change)) this.#guest.send(messageFrame(change));
  }

  enter(): void {
    if (!this.#isOver) this.#audience.enter(this.room, this);
  }

  takeOut(reason: RemovalCode): void {
    this.end();
    this.#rooms.feeds.release(this.room);
    this.#guest.send({ type: 'status', data: 'NOTAUTHORIZED', reason });
  }

  reconnect(): void {
    this.#guest.reconnect();
  }

  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#audience.leave(this.room, this);
    this.#leaveFeed?.();
    for (const { echoed, forget } of this.#expected?.values() ?? []) {
      forget();
      echoed();
    }
    this.#expected = undefined;
  }

  /** Judges anew, the session's token having changed. */
  review(): void {
    this.#rooms.feeds.find(this.room)?.review(this);
  }

  hear(frames: readonly Buffer[]): void {
    this.#guest.transmit(frames);
  }

  /** The echo of a message of this connection: one that has an `id` is a frame of its own. */
  hearOwn(change: MessageChange): boolean {
    const expected = this.#expected?.get(change.rev);
    if (!expected) return false;
    const { id, echoed, forget } = expected;
    this.#expected!.delete(change.rev);
    forget();
    if (id !== undefined) this.#guest.send({ ...messageFrame(change), id });
    echoed();
    return id !== undefined;
  }

  fail(error: unknown): void {
    this.#guest.fail(error);
  }

  /** What the room has said in this turn goes before what is sent now. */
  catchUp(): void {
    this.#audience.catchUp(this.room, this);
  }

  /** Resolves when the message has its place in the order; its echo, or the refusal, comes when it is stored. */
  async send(command: Command, id: Id): Promise<void> {
    const { content, client_msg_id } = parse(chatCommands.message, command);
    let echo: Promise<void> | undefined;
    const draft = { room_id: this.room, content, client_msg_id };
    const { stored } = await sendMessage(this.#rooms, this.actor, draft, ({ rev }) => {
      // A sweep may have been quicker than the answer of the commit: then the echo has been heard.
      const heard = this.#rooms.feeds.find(this.room)?.position?.rev ?? 0;
      if (this.#isOver || heard >= rev) return;
      const forget = this.#audience.expectOwn(this.room, rev, this);
      const own = this.#expected ?? new Map<number, Expected>();
      this.#expected = own;
      echo = new Promise((echoed) => own.set(rev, { id, echoed, forget }));
    });
    const answered = stored
      .then(async ({ message: data, duplicate, rev, cursor }) => {
        if (duplicate) this.#guest.send({ type: 'message', rev, cursor, data, duplicate: true, id });
        await echo;
      })
      .catch((error) => this.#guest.refuse(ChatError.from(error), id))
      .finally(() => this.#inFlight!.delete(answered));
    this.#inFlight ??= new Set();
    this.#inFlight.add(answered);
  }

  async settled(): Promise<void> {
    if (this.#inFlight) await Promise.all(this.#inFlight);
  }

  async sendHistory(command: Command, id: Id): Promise<void> {
    const { limit, before } = parse(chatCommands.get_past_messages, command);
    const { messages, head, has_more } = await readHistory(this.#rooms, this.actor, this.room, { limit, before });
    for (const change of messages) this.#guest.send({ ...messageFrame(change), history: true });
    if (id === undefined) return;
    const position = { rev: head.rev, cursor: formatCursor(head) };
    this.#guest.send({ type: 'status', data: 'HISTORY', count: messages.length, has_more, ...position, id });
  }
}

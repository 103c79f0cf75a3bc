import type { Change, MessageChange } from '../../protocol/change.ts';
import { type ChatFrame, type CommandId, chatCommands } from '../../protocol/chat-commands.ts';
import { type Cursor, cursorOf, type Position } from '../../protocol/cursor.ts';
import { ChatError, parse, type RemovalCode } from '../../protocol/errors.ts';
import type { RoomId } from '../../protocol/identifiers.ts';
import { readHistory } from '../../rooms/history.ts';
import { joinRoom } from '../../rooms/joining.ts';
import { sendMessage } from '../../rooms/messages.ts';
import type { Actor } from '../../rooms/permissions.ts';
import type { Member } from '../../rooms/room-feed.ts';
import type { Rooms } from '../../rooms/rooms-context.ts';
import type { ChatAudience } from './chat-audience.ts';

type Id = CommandId | undefined;
type Command = Record<string, unknown>;

/** What a stay needs of the session it belongs to. */
export interface Guest {
  readonly actor: Actor;
  send(frame: ChatFrame): void;
  /** A frame that is text already. */
  transmit(frame: string): void;
  refuse(error: ChatError, id: Id): void;
  /** Closes the connection, for the client to come back. */
  reconnect(): void;
}

/** A message of this connection that is stored: its echo carries the command's `id`. */
interface Expected {
  id: Id;
  echoed: () => void;
}

interface Collaborators {
  room: RoomId;
  guest: Guest;
  rooms: Rooms;
  audience: ChatAudience;
}

/** One session in one room, from its select until it selects another, is taken out, or closes. */
export class ChatStay implements Member {
  readonly room: RoomId;
  readonly #guest: Guest;
  readonly #rooms: Rooms;
  readonly #audience: ChatAudience;
  #leaveFeed = () => {};
  #isOver = false;
  /** Messages on their way: a command of another kind waits for them, the next message does not. */
  readonly #inFlight = new Set<Promise<unknown>>();
  readonly #expected = new Map<number, Expected>();

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
    const position = { rev: head.rev, cursor: cursorOf(head) };
    const room_id = this.room;
    this.#guest.send({ type: 'status', data: 'CONNECTED', room_id, rights, ...position, recovered, id });
  }

  tell(change: Change): void {
    if (change.kind === 'message') this.deliver(change, undefined);
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
    this.#leaveFeed();
    for (const { echoed } of this.#expected.values()) echoed();
    this.#expected.clear();
  }

  /** Judges anew, the session's token having changed. */
  review(): void {
    this.#rooms.feeds.find(this.room)?.review(this);
  }

  /** A live message; `frame` is the one that all get, undefined where there is none yet. */
  deliver(change: MessageChange, frame: string | undefined): void {
    const expected = this.#expected.get(change.rev);
    this.#expected.delete(change.rev);
    expected?.echoed();
    if (expected?.id === undefined && frame !== undefined) this.#guest.transmit(frame);
    else this.#guest.send({ ...messageFrame(change), id: expected?.id });
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
      echo = new Promise((echoed) => this.#expected.set(rev, { id, echoed }));
    });
    const answered = stored
      .then(async ({ message: data, duplicate, rev, cursor }) => {
        if (duplicate) this.#guest.send({ type: 'message', rev, cursor, data, duplicate: true, id });
        await echo;
      })
      .catch((error) => this.#guest.refuse(ChatError.from(error), id))
      .finally(() => this.#inFlight.delete(answered));
    this.#inFlight.add(answered);
  }

  async settled(): Promise<void> {
    await Promise.all(this.#inFlight);
  }

  async sendHistory(command: Command, id: Id): Promise<void> {
    const { limit, before } = parse(chatCommands.get_past_messages, command);
    const { messages, head, has_more } = await readHistory(this.#rooms, this.actor, this.room, { limit, before });
    for (const change of messages) this.#guest.send({ ...messageFrame(change), history: true });
    if (id === undefined) return;
    const position = { rev: head.rev, cursor: cursorOf(head) };
    this.#guest.send({ type: 'status', data: 'HISTORY', count: messages.length, has_more, ...position, id });
  }
}

export function messageFrame(change: MessageChange): Extract<ChatFrame, { type: 'message' }> {
  return { type: 'message', rev: change.rev, cursor: cursorOf(change), data: change.message };
}

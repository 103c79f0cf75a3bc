import type { Change, MessageChange } from '../../protocol/change.ts';
import { type ChatCommandName, type ChatFrame, CommandId, chatCommands } from '../../protocol/chat-commands.ts';
import { cursorOf } from '../../protocol/cursor.ts';
import { ChatError, type CloseReason, errors, parse, type RemovalCode } from '../../protocol/errors.ts';
import type { RoomId } from '../../protocol/identifiers.ts';
import { joinRoom } from '../../rooms/joining.ts';
import { readHistory, sendMessage } from '../../rooms/messages.ts';
import type { Actor } from '../../rooms/permissions.ts';
import type { Member } from '../../rooms/room-feed.ts';
import { roomIdOf } from '../../rooms/rooms-context.ts';
import type { Identity } from '../authenticate.ts';
import { badTokensAllowed, type Live, mostWaitingRequests, unauthenticatedFrameBytes } from '../live.ts';
import { type TokenLifetime, watchToken } from '../token-lifetime.ts';
import type { ChatAudience } from './chat-audience.ts';

/** What a session needs of its WebSocket. */
export interface ChatConnection {
  /** False when the client has left too much unread. */
  send(frame: string): boolean;
  close(reason: CloseReason): void;
  /** Whether to read on: a client that sends faster than it is answered waits. */
  setReading(reading: boolean): void;
}

type Step =
  | { name: 'authenticating'; badTokens: number }
  | { name: 'choosing_room'; badTokens: number; identity: Identity }
  | { name: 'in_room'; badTokens: number; identity: Identity; room: RoomId; member: Member; leave: () => void }
  | { name: 'ended' };

/** A message of this connection that is stored: its echo carries the command's `id`. */
interface Expected {
  id: CommandId | undefined;
  echoed: () => void;
}

type Id = CommandId | undefined;

/** One `/chat` connection: its commands, obeyed strictly in the order in which they arrive. */
export class ChatSession {
  readonly #connection: ChatConnection;
  readonly #live: Live;
  readonly #audience: ChatAudience;
  readonly #tokenTimer: NodeJS.Timeout;
  #step: Step = { name: 'authenticating', badTokens: 0 };
  #lifetime: TokenLifetime | undefined;
  #releaseUser = () => {};
  #forgetUnauthenticated: () => void;
  #turn: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  /** Messages on their way: the next command of another kind waits for them, the next message does not. */
  readonly #inFlight = new Set<Promise<unknown>>();
  readonly #expected = new Map<number, Expected>();

  constructor(connection: ChatConnection, live: Live, audience: ChatAudience) {
    this.#connection = connection;
    this.#live = live;
    this.#audience = audience;
    this.#forgetUnauthenticated = live.connections.awaitToken(() => this.#close('no_token'));
    this.#tokenTimer = setTimeout(() => this.#close('no_token'), live.tokenDeadlineMs);
    this.#send({ type: 'query', data: 'START?' });
  }

  /** Takes a frame; it is obeyed in its turn. */
  hear(text: string): void {
    if (this.#step.name === 'ended') return;
    if (this.#step.name === 'authenticating' && Buffer.byteLength(text) > unauthenticatedFrameBytes) {
      return this.#close('frame_too_large');
    }
    this.#waiting += 1;
    if (this.#waiting === mostWaitingRequests) this.#connection.setReading(false);
    this.#turn = this.#turn
      .then(() => this.#obey(text))
      .catch((error) => this.#refuse(ChatError.from(error), undefined))
      .finally(() => {
        this.#waiting -= 1;
        if (this.#waiting === Math.floor(mostWaitingRequests / 2)) this.#connection.setReading(true);
      });
  }

  /** Closes with 1001; the client comes back. */
  drain(): void {
    this.#close('draining');
  }

  /** The connection is gone; what is still under way ends in silence. */
  end(): void {
    this.#leaveRoom();
    this.#step = { name: 'ended' };
    clearTimeout(this.#tokenTimer);
    this.#lifetime?.stop();
    this.#forgetUnauthenticated();
    this.#releaseUser();
  }

  async #obey(text: string): Promise<void> {
    if (this.#hasEnded) return;
    const frame = readJson(text);
    const command = isObject(frame) ? frame : {};
    if (command.type !== 'message') await Promise.allSettled([...this.#inFlight]);
    if (this.#hasEnded) return;
    if (frame === undefined) return this.#hearNonsense();
    const id = CommandId.safeParse(command.id).data;
    if (this.#step.name === 'authenticating' && command.type !== 'token') return this.#badToken({ id });
    const name = command.type;
    if (typeof name !== 'string' || !Object.hasOwn(chatCommands, name)) {
      return this.#send({ type: 'query', data: 'COMMAND?', id });
    }
    try {
      await this.#run(name as ChatCommandName, command, id);
    } catch (error) {
      // The answers, too, keep the order of the commands.
      await Promise.allSettled([...this.#inFlight]);
      this.#refuse(ChatError.from(error), id);
    }
  }

  async #run(name: ChatCommandName, command: Record<string, unknown>, id: Id): Promise<void> {
    switch (name) {
      case 'token':
        return this.#takeToken(command, id);
      case 'select_room':
        return this.#selectRoom(command, id);
      case 'message':
        return this.#sendMessage(command, id);
      case 'get_past_messages':
        return this.#sendHistory(command, id);
      case 'quit':
        return this.#close('quit');
    }
  }

  #hearNonsense(): void {
    if (this.#step.name === 'authenticating') return this.#badToken({});
    this.#send({ type: 'status', data: 'BADJSON' });
    this.#close('not_json');
  }

  #badToken({ reason, id }: { reason?: ChatError['code']; id?: Id }): void {
    if (this.#step.name === 'ended') return;
    this.#step.badTokens += 1;
    if (this.#step.badTokens < badTokensAllowed) return this.#send({ type: 'query', data: 'TOKEN?', reason, id });
    this.#send({ type: 'status', data: 'BADAUTH', id });
    this.#close('bad_tokens');
  }

  async #takeToken(command: Record<string, unknown>, id: Id): Promise<void> {
    const known = this.#identity;
    let fresh: Identity;
    try {
      fresh = await this.#live.authenticator.verify(command.content);
    } catch (thrown) {
      const error = ChatError.from(thrown);
      if (error.code === 'UNAVAILABLE' || error.code === 'INTERNAL') throw error;
      this.#live.metrics.refused('chat', error.code);
      return this.#badToken({ reason: error.code, id });
    }
    if (this.#hasEnded) return;
    if (known && known.actor.user !== fresh.actor.user) return this.#badToken({ reason: 'UNAUTHENTICATED', id });
    if (!known && !this.#admit(fresh.actor, id)) return;
    this.#renew(fresh);
    this.#send({ type: 'status', data: 'READY', id });
    const step = this.#step;
    if (step.name === 'in_room') this.#live.rooms.feeds.find(step.room)?.review(step.member);
  }

  #admit({ user }: Actor, id: Id): boolean {
    clearTimeout(this.#tokenTimer);
    this.#forgetUnauthenticated();
    try {
      this.#releaseUser = this.#live.connections.admit(user);
      return true;
    } catch (error) {
      this.#refuse(ChatError.from(error), id);
      this.#close('too_many_connections');
      return false;
    }
  }

  #renew(identity: Identity): void {
    const { expiresAt } = identity;
    if (this.#step.name === 'in_room') this.#step = { ...this.#step, badTokens: 0, identity };
    else this.#step = { name: 'choosing_room', badTokens: 0, identity };
    if (this.#lifetime) this.#lifetime.renew(expiresAt);
    else this.#lifetime = watchToken(expiresAt, { end: () => this.#close('token_ended') });
  }

  async #selectRoom(command: Record<string, unknown>, id: Id): Promise<void> {
    const current = this.#step;
    let room: RoomId;
    try {
      const { room_id, since } = parse(chatCommands.select_room, command);
      room = await roomIdOf(this.#live.rooms, room_id);
      if (current.name === 'in_room' && current.room === room) return this.#confirmRoom(room, id);
      this.#leaveRoom();
      await this.#enterRoom(room, since, id);
    } catch (error) {
      // A failed select leaves the room before, too.
      this.#leaveRoom();
      throw error;
    }
  }

  /** Selecting the current room again changes nothing. */
  #confirmRoom(room: RoomId, id: Id): void {
    const feed = this.#live.rooms.feeds.find(room);
    if (!feed?.position || !this.#identity) throw new ChatError('UNAVAILABLE');
    const rights = feed.rightsOf(this.#identity.actor);
    this.#sendConnected(room, rights, feed.position, false, id);
  }

  #sendConnected(room_id: RoomId, rights: string, head: Parameters<typeof cursorOf>[0], recovered: boolean, id: Id) {
    const { rev } = head;
    this.#send({
      ...{ type: 'status', data: 'CONNECTED', room_id, rights, rev, cursor: cursorOf(head), recovered, id },
    } as ChatFrame);
  }

  async #enterRoom(room: RoomId, since: string | null | undefined, id: Id): Promise<void> {
    const member = this.#memberOf(room);
    const leave = await joinRoom(this.#live.rooms, member, room, since, ({ rights, head, recovered, events }) => {
      const { badTokens, identity } = this.#step as Extract<Step, { name: 'choosing_room' }>;
      if (this.#hasEnded) return;
      this.#step = { name: 'in_room', badTokens, identity, room, member, leave: () => {} };
      this.#sendConnected(room, rights, head, recovered, id);
      for (const change of events) member.tell(change);
    });
    if (this.#step.name === 'in_room' && this.#step.member === member) this.#step.leave = leave;
    else leave();
  }

  #memberOf(room: RoomId): Member {
    const actor = () => this.#identity!.actor;
    return {
      get actor() {
        return actor();
      },
      tell: (change: Change) => {
        if (change.kind === 'message') this.deliver(change, undefined);
      },
      enter: () => {
        if (!this.#hasEnded) this.#audience.enter(room, this);
      },
      takeOut: (reason: RemovalCode) => {
        this.#leaveRoom();
        this.#live.rooms.feeds.release(room);
        this.#send({ type: 'status', data: 'NOTAUTHORIZED', reason });
      },
    };
  }

  #leaveRoom(): void {
    const step = this.#step;
    if (step.name !== 'in_room') return;
    this.#audience.leave(step.room, this);
    this.#step = { name: 'choosing_room', badTokens: step.badTokens, identity: step.identity };
    step.leave();
    for (const { echoed } of this.#expected.values()) echoed();
    this.#expected.clear();
  }

  /** A live message; `frame` is the one that all get, undefined where there is none yet. */
  deliver(change: MessageChange, frame: string | undefined): void {
    const expected = this.#expected.get(change.rev);
    if (expected) {
      this.#expected.delete(change.rev);
      expected.echoed();
    }
    if (expected?.id === undefined && frame !== undefined) this.#transmit(frame);
    else this.#send({ ...messageFrame(change), id: expected?.id });
  }

  async #sendMessage(command: Record<string, unknown>, id: Id): Promise<void> {
    const step = this.#step;
    if (step.name !== 'in_room') return this.#send({ type: 'query', data: 'SELECTROOM?', id });
    const { content, client_msg_id } = parse(chatCommands.message, command);
    let echo: Promise<void> | undefined;
    const draft = { room_id: step.room, content, client_msg_id };
    const { stored } = await sendMessage(this.#live.rooms, step.identity.actor, draft, ({ rev }) => {
      if (this.#step.name !== 'in_room' || this.#step.room !== step.room) return;
      echo = new Promise((echoed) => this.#expected.set(rev, { id, echoed }));
    });
    const answered = stored
      .then(async ({ message, duplicate, rev, cursor }) => {
        if (duplicate) this.#send({ type: 'message', rev, cursor, data: message, duplicate: true, id });
        await echo;
      })
      .catch((error) => this.#refuse(ChatError.from(error), id))
      .finally(() => this.#inFlight.delete(answered));
    this.#inFlight.add(answered);
  }

  async #sendHistory(command: Record<string, unknown>, id: Id): Promise<void> {
    const step = this.#step;
    if (step.name !== 'in_room') return this.#send({ type: 'query', data: 'SELECTROOM?', id });
    const { limit, before } = parse(chatCommands.get_past_messages, command);
    const { actor } = step.identity;
    const { messages, head, has_more } = await readHistory(this.#live.rooms, actor, step.room, { limit, before });
    for (const change of messages) this.#send({ ...messageFrame(change), history: true });
    if (id === undefined) return;
    const position = { rev: head.rev, cursor: cursorOf(head) };
    this.#send({ type: 'status', data: 'HISTORY', count: messages.length, has_more, ...position, id });
  }

  #refuse(error: ChatError, id: Id): void {
    const { code, retryAfterMs: retry_after_ms, detail } = error;
    this.#live.metrics.refused('chat', code);
    if (code === 'INTERNAL') this.#live.logger.error({ err: error.cause }, 'a command failed');
    this.#send({ type: 'status', data: errors[code].chat, reason: code, detail, retry_after_ms, id });
  }

  get #identity(): Identity | undefined {
    return 'identity' in this.#step ? this.#step.identity : undefined;
  }

  /** Asked anew after every wait: the connection may have closed meanwhile. */
  get #hasEnded(): boolean {
    return this.#step.name === 'ended';
  }

  #send(frame: ChatFrame): void {
    this.#transmit(JSON.stringify(frame));
  }

  #transmit(frame: string): void {
    if (!this.#hasEnded && !this.#connection.send(frame)) this.#close('does_not_read');
  }

  #close(reason: CloseReason): void {
    if (this.#hasEnded) return;
    this.end();
    this.#connection.close(reason);
  }
}

export function messageFrame(change: MessageChange): Extract<ChatFrame, { type: 'message' }> {
  return { type: 'message', rev: change.rev, cursor: cursorOf(change), data: change.message };
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

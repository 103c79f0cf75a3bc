import type { Identity } from '../../auth/identity.ts';
import type { TokenHolder, TokenWatch } from '../../auth/token-expiry.ts';
import type { Actor } from '../../core/authorization.ts';
import type { ChatConnection, SelectedRoom } from '../../core/connections.ts';
import { type ChatCommand, type ChatFrame, type ChatFrameName, CommandId } from '../../core/contract/chat.ts';
import { ChatError, type CloseReason, errors, parse } from '../../core/errors.ts';
import type { RoomId } from '../../core/ids.ts';
import { costs, type RequestCost } from '../../core/limits/request-costs.ts';
import {
  maxInvalidTokens,
  unauthenticatedBurstBytes,
  unauthenticatedFrameBytes,
} from '../../core/limits/transport-limits.ts';
import type { RegisteredCommand } from '../../core/registry.ts';
import { findUnknownKeys } from '../../core/unknown-keys.ts';
import { CommandQueue, requestOverheadBytes } from '../command-queue.ts';
import type { LiveContext } from '../live-context.ts';
import type { ChatBroadcaster } from './broadcaster.ts';
import { RoomSubscription, type SubscribedConnection } from './room-subscription.ts';

/** What a session needs of its WebSocket. */
export interface ChatLink {
  /** A text, or frames as they go over the wire. False when the client has left too much unread. */
  send(frames: string | readonly Buffer[]): boolean;
  close(reason: CloseReason): void;
  /** Whether to read on: a client that sends faster than it is answered waits. */
  setReading(isReading: boolean): void;
  /** The size of messages from now on, 0: any. False if the one that is arriving is larger already. */
  limitMessages(bytes: number): boolean;
  readonly isSendBufferFull: boolean;
  readonly isCongested: boolean;
}

type Step =
  | { name: 'authenticating' }
  | { name: 'choosing_room'; identity: Identity }
  | { name: 'in_room'; identity: Identity; subscription: RoomSubscription }
  /** Whose it was: a select may still be under way. */
  | { name: 'ended'; identity: Identity | undefined };

type Id = CommandId | undefined;
type Command = Record<string, unknown>;

/** One `/chat` connection: its commands, obeyed strictly in the order in which they arrive. */
export class ChatSession implements SubscribedConnection, ChatConnection, TokenHolder {
  readonly #connection: ChatLink;
  readonly #live: LiveContext;
  readonly #broadcaster: ChatBroadcaster;
  #tokenTimer: NodeJS.Timeout | undefined;
  #step: Step = { name: 'authenticating' };
  #invalidTokens = 0;
  #unauthenticatedBytes = 0;
  #tokenWatch: TokenWatch | undefined;
  #releaseUser = noop;
  #releaseUnauthenticated: () => void;
  readonly #queue: CommandQueue;
  /** By the `id` of the command; few commands have any. */
  #ignoredKeys: Map<CommandId, string[]> | undefined;

  constructor(connection: ChatLink, live: LiveContext, broadcaster: ChatBroadcaster) {
    this.#connection = connection;
    this.#live = live;
    this.#broadcaster = broadcaster;
    this.#queue = new CommandQueue(live.queuedRequests);
    this.#releaseUnauthenticated = live.connections.awaitToken(() => this.#close('no_token'));
    this.#tokenTimer = setTimeout(() => this.#close('no_token'), live.authTimeoutMs);
    this.send({ type: 'query', data: 'START?' });
  }

  /** Takes a frame; it is obeyed in its turn. */
  onFrame(text: string): void {
    if (this.#step.name === 'ended') return;
    const bytes = Buffer.byteLength(text);
    if (this.#step.name === 'authenticating' && !this.#mayQueue(bytes)) return this.#close('frame_too_large');
    const done = this.#queue.isNodeFull
      ? this.#enqueueOverloadError(text)
      : this.#queue.enqueue(bytes, () => this.#handle(text));
    if (!this.#queue.isFull) return;
    this.#connection.setReading(false);
    void done.then(() => this.#connection.setReading(true));
  }

  /** A client may send its token and what comes after it in one burst; alone, a large frame has no business here. */
  #mayQueue(bytes: number): boolean {
    this.#unauthenticatedBytes += bytes + requestOverheadBytes;
    if (this.#queue.size > 0) return this.#unauthenticatedBytes <= unauthenticatedBurstBytes;
    if (bytes > unauthenticatedFrameBytes) return false;
    this.#connection.limitMessages(this.#capFrameBytes(unauthenticatedBurstBytes));
    return true;
  }

  async #handle(text: string): Promise<void> {
    await this.#handleCommand(text).catch((error) => this.sendError(ChatError.from(error), undefined));
    if (this.#step.name !== 'authenticating' || this.#queue.size > 1) return;
    // No token holds, and none is being checked.
    if (!this.#connection.limitMessages(unauthenticatedFrameBytes)) this.#close('frame_too_large');
  }

  /** The node holds as much as it may: of this command only its `id` is kept, for the answer. */
  #enqueueOverloadError(text: string): Promise<void> {
    const frame = parseJson(text);
    const id = isObject(frame) ? CommandId.safeParse(frame.id).data : undefined;
    const error = new ChatError('UNAVAILABLE', { message: overloadedMessage, retryAfterMs: 1_000 });
    return this.#queue.enqueue(0, async () => this.sendError(error, id));
  }

  #capFrameBytes(bytes: number): number {
    const { frameBytes } = this.#live.limits;
    return frameBytes === 0 ? bytes : Math.min(frameBytes, bytes);
  }

  /** Closes a connection that does not read; libraries write to it, too. */
  checkSendBuffer(): void {
    if (!this.#hasEnded && this.#connection.isSendBufferFull) this.#closeSlowConsumer();
  }

  /** A binary frame that is not UTF-8 ends the connection as such a text frame does. */
  onInvalidUtf8(): void {
    this.#close('not_utf8');
  }

  /** Closes with 1001; the client comes back. */
  drain(): void {
    this.#close('draining');
  }

  reconnect(): void {
    this.drain();
  }

  fail(error: unknown): void {
    this.#live.logger.error({ err: error }, 'a change could not be sent to a subscriber');
    this.drain();
  }

  onTokenEnded(): void {
    this.#close('token_ended');
  }

  get actor(): Actor {
    return this.#identity!.actor;
  }

  /** The connection is gone; what is still under way ends in silence. */
  end(): void {
    this.#leaveRoom();
    this.#step = { name: 'ended', identity: this.#identity };
    this.#stopAwaitingToken();
    this.#tokenWatch?.stop();
    this.#releaseUser();
  }

  async #handleCommand(text: string): Promise<void> {
    if (this.#hasEnded) return;
    if (this.#step.name === 'authenticating' && Buffer.byteLength(text) > unauthenticatedFrameBytes) {
      return this.#close('frame_too_large');
    }
    const frame = parseJson(text);
    const command: Command = isObject(frame) ? frame : {};
    if (command.type !== 'message') await this.#waitForInFlight();
    if (this.#hasEnded) return;
    if (frame === undefined) return this.#onInvalidFrame();
    const id = command.id === undefined ? undefined : CommandId.safeParse(command.id).data;
    const registered = typeof command.type === 'string' ? this.#live.registry.commands.get(command.type) : undefined;
    this.#live.metrics.requested('chat', registered?.name ?? 'unknown');
    const needsToken = registered?.entry.needs !== 'nothing';
    if (this.#step.name === 'authenticating' && needsToken) return this.#onInvalidToken({ id });
    if (!registered) return this.send({ type: 'query', data: 'COMMAND?', id });
    try {
      // The user of a token is known only after its verification, which charges them.
      if (needsToken) this.#limit(this.actor, registered.entry.cost, command);
      this.#recordUnknownKeys(registered.entry, command, id);
      await this.#run(registered, command, id);
    } catch (error) {
      // The answers, too, keep the order of the commands.
      await this.#waitForInFlight();
      this.sendError(ChatError.from(error), id);
    }
  }

  #limit({ user }: Actor, cost: RequestCost, command?: Command): void {
    this.#live.context.requestLimits.consume(user, cost, command);
  }

  /** Clients of the legacy service send other keys and expect none: a command with an `id` is of a newer client. */
  #recordUnknownKeys({ answers, frame }: ChatCommand, command: Command, id: Id): void {
    if (!answers.some(isAnswerWithIgnored)) return;
    const ignored = findUnknownKeys(frame, command).filter((key) => key !== 'id');
    if (id === undefined || ignored.length === 0) return;
    if (!this.#ignoredKeys || this.#ignoredKeys.size >= maxIgnoredLists) this.#ignoredKeys = new Map();
    this.#ignoredKeys.set(id, ignored);
  }

  /** The answer of a command says which keys of it were not used. */
  #addIgnoredKeys(frame: ChatFrame): ChatFrame {
    const ignored = frame.id === undefined ? undefined : this.#ignoredKeys?.get(frame.id);
    if (!ignored) return frame;
    this.#ignoredKeys!.delete(frame.id!);
    return isAnswerWithIgnored(frame.type === 'message' ? frame.type : frame.data)
      ? ({ ...frame, ignored } as ChatFrame)
      : frame;
  }

  async #run({ entry, handle }: RegisteredCommand, command: Command, id: Id): Promise<void> {
    const { needs } = entry;
    const room = needs === 'room' ? this.room : undefined;
    if (needs === 'room' && !room) return this.send({ type: 'query', data: 'SELECTROOM?', id });
    try {
      const frame = needs === 'nothing' ? command : parse(entry.frame, command);
      const actor = needs === 'nothing' ? undefined : this.actor;
      await handle({ context: this.#live.registry.context, actor, frame, id, connection: this, room });
    } catch (error) {
      if (entry.leavesRoomOnFailure) this.#leaveRoom();
      throw error;
    }
  }

  /** Resolves when the messages on their way are answered, also those of a room it was taken out of. */
  async #waitForInFlight(): Promise<void> {
    if (this.#step.name === 'in_room') await this.#step.subscription.waitForInFlight();
  }

  #onInvalidFrame(): void {
    if (this.#step.name === 'authenticating') return this.#onInvalidToken({});
    this.send({ type: 'status', data: 'BADJSON' });
    this.#close('not_json');
  }

  #onInvalidToken({ reason, id }: { reason?: ChatError['code']; id?: Id }): void {
    this.#invalidTokens += 1;
    if (this.#invalidTokens < maxInvalidTokens) return this.send({ type: 'query', data: 'TOKEN?', reason, id });
    this.send({ type: 'status', data: 'BADAUTH', id });
    this.#close('bad_tokens');
  }

  async useToken(token: unknown, id: Id): Promise<void> {
    const current = this.#identity;
    let fresh: Identity;
    try {
      fresh = await this.#live.authenticator.verify(token);
    } catch (thrown) {
      const error = ChatError.from(thrown);
      if (error.code === 'UNAVAILABLE' || error.code === 'INTERNAL') throw error;
      this.#live.metrics.refused('chat', error.code);
      return this.#onInvalidToken({ reason: error.code, id });
    }
    if (this.#hasEnded) return;
    if (current && current.actor.user !== fresh.actor.user)
      return this.#onInvalidToken({ reason: 'UNAUTHENTICATED', id });
    this.#limit(fresh.actor, costs.token);
    if (!current && !(await this.#admit(fresh.actor, id))) return;
    if (!current) this.#connection.limitMessages(this.#live.limits.frameBytes);
    this.#renew(fresh);
    this.send({ type: 'status', data: 'READY', id });
    this.room?.reauthorize();
  }

  /** It has one, or ends. */
  #stopAwaitingToken(): void {
    clearTimeout(this.#tokenTimer);
    this.#tokenTimer = undefined;
    this.#releaseUnauthenticated();
    this.#releaseUnauthenticated = noop;
  }

  async #admit({ user }: Actor, id: Id): Promise<boolean> {
    this.#stopAwaitingToken();
    try {
      this.#releaseUser = await this.#live.connections.admit(user);
      if (this.#hasEnded) this.#releaseUser();
      return !this.#hasEnded;
    } catch (error) {
      this.sendError(ChatError.from(error), id);
      this.#close('too_many_connections');
      return false;
    }
  }

  #renew(identity: Identity): void {
    this.#invalidTokens = 0;
    const subscription = this.room;
    this.#step = subscription ? { name: 'in_room', identity, subscription } : { name: 'choosing_room', identity };
    if (this.#tokenWatch) this.#tokenWatch.renew(identity);
    else this.#tokenWatch = this.#live.tokenExpiry.watch(identity, this);
  }

  select(id: RoomId): SelectedRoom | undefined {
    this.#leaveRoom();
    if (this.#step.name !== 'choosing_room') return undefined;
    const { identity } = this.#step;
    const { context } = this.#live;
    const subscription = new RoomSubscription({ room: id, connection: this, context, broadcaster: this.#broadcaster });
    this.#step = { name: 'in_room', identity, subscription };
    return subscription;
  }

  get isCongested(): boolean {
    return this.#connection.isCongested;
  }

  quit(): void {
    this.#close('quit');
  }

  #leaveRoom(): void {
    if (this.#step.name !== 'in_room') return;
    const { identity, subscription } = this.#step;
    this.#step = { name: 'choosing_room', identity };
    subscription.end();
  }

  /** The room the session is in; one it was taken out of is over. */
  get room(): RoomSubscription | undefined {
    return this.#step.name === 'in_room' && !this.#step.subscription.hasEnded ? this.#step.subscription : undefined;
  }

  sendError(error: ChatError, id: Id): void {
    const { code, retryAfterMs: retry_after_ms, detail } = error;
    this.#live.metrics.refused('chat', code);
    const identity = this.#identity;
    if (identity) this.#live.context.requestLimits.chargeRefusal(identity.actor.user, code);
    if (code === 'INTERNAL') this.#live.logger.error({ err: error.cause }, 'a command failed');
    const data = errors[code].chat;
    const details = { reason: code, detail, retry_after_ms, id };
    this.send(data === 'ERROR' ? { type: 'status', data, ...details } : { type: 'status', data, ...details });
  }

  get #identity(): Identity | undefined {
    return 'identity' in this.#step ? this.#step.identity : undefined;
  }

  /** Asked anew after every wait: the connection may have closed meanwhile. */
  get #hasEnded(): boolean {
    return this.#step.name === 'ended';
  }

  send(frame: ChatFrame): void {
    if (this.#step.name === 'in_room') this.#step.subscription.catchUp();
    this.transmit(JSON.stringify(this.#ignoredKeys ? this.#addIgnoredKeys(frame) : frame));
  }

  transmit(frames: string | readonly Buffer[]): void {
    if (!this.#hasEnded && !this.#connection.send(frames)) this.#closeSlowConsumer();
  }

  #closeSlowConsumer(): void {
    this.#live.metrics.closedSlowConsumer('chat');
    this.#close('does_not_read');
  }

  #close(reason: CloseReason): void {
    if (this.#hasEnded) return;
    this.end();
    this.#connection.close(reason);
  }
}

/** The frames that list the keys which the server did not use. */
const isAnswerWithIgnored = (name: ChatFrameName) => answersWithIgnored.includes(name);
const answersWithIgnored: readonly ChatFrameName[] = ['message', 'CONNECTED', 'HISTORY', 'OK'];

/** Commands of one connection whose unknown keys are remembered until they are answered. */
const maxIgnoredLists = 100;

const noop = () => {};
const overloadedMessage = 'The server has more requests waiting than it can take, try again';

const byteOrderMark = '\u{feff}';

/** A byte order mark is no part of the text: some libraries write one before everything. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text.startsWith(byteOrderMark) ? text.slice(1) : text);
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Command {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

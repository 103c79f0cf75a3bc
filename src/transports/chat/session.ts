import type { TokenHolder } from '../../auth/token-expiry.ts';
import type { Actor } from '../../core/authorization.ts';
import type { ChatConnection, SelectedRoom } from '../../core/connections.ts';
import type { ChatFrame, CommandId } from '../../core/contract/chat.ts';
import { ChatError, type CloseReason, errors } from '../../core/errors.ts';
import type { RoomId } from '../../core/ids.ts';
import { unauthenticatedFrameBytes } from '../../core/limits/transport-limits.ts';
import type { Message } from '../../core/log/message.ts';
import { parse } from '../../core/parse.ts';
import type { RegisteredCommand } from '../../core/registry.ts';
import { CommandQueue } from '../command-queue.ts';
import type { LiveContext } from '../live-context.ts';
import { Authentication } from './authentication.ts';
import type { ChatBroadcaster } from './broadcaster.ts';
import { addIgnoredKeys, type IgnoredKeys, listIgnoredKeys } from './ignored-keys.ts';
import type { ChatLink } from './link.ts';
import { type ParsedFrame, parseFrame } from './parse-frame.ts';
import { RoomSubscription, type SubscribedConnection } from './room-subscription.ts';

type Id = CommandId | undefined;

/** One `/chat` connection. Its commands are handled strictly in the order in which they arrive. */
export class ChatSession implements SubscribedConnection, ChatConnection, TokenHolder {
  readonly #link: ChatLink;
  readonly #live: LiveContext;
  readonly #broadcaster: ChatBroadcaster;
  readonly #authentication: Authentication;
  readonly #queue: CommandQueue;
  #ignoredKeys: IgnoredKeys | undefined;
  /** The selected room. Remains set after the client has been removed from the room, until it selects another. */
  #subscription: RoomSubscription | undefined;
  #hasEnded = false;

  constructor(link: ChatLink, live: LiveContext, broadcaster: ChatBroadcaster) {
    this.#link = link;
    this.#live = live;
    this.#broadcaster = broadcaster;
    this.#queue = new CommandQueue(live.queuedRequests);
    this.#authentication = new Authentication(this, link, live);
    this.send({ type: 'query', data: 'START?' });
  }

  /** Queues a frame. It is handled when the commands before it have been handled. */
  onFrame(text: string): void {
    if (this.#hasEnded) return;
    const bytes = Buffer.byteLength(text);
    if (this.#isUnauthenticated && !this.#authentication.mayQueue(bytes, this.#queue.size)) {
      return this.close('frame_too_large');
    }
    const done = this.#queue.isNodeFull
      ? this.#enqueueOverloadError(text)
      : this.#queue.enqueue(bytes, () => this.#handle(text));
    if (!this.#queue.isFull) return;
    this.#link.setReading(false);
    void done.then(() => this.#link.setReading(true));
  }

  /** Keeps only the `id` of the command, for the answer: the queues of the node have no space for the command. */
  #enqueueOverloadError(text: string): Promise<void> {
    const id = parseFrame(text)?.id;
    const error = new ChatError('UNAVAILABLE', { message: overloadedMessage, retryAfterMs: 1_000 });
    return this.#queue.enqueue(0, async () => this.sendError(error, id));
  }

  async #handle(text: string): Promise<void> {
    await this.#handleCommand(text).catch((error) => this.sendError(ChatError.from(error), undefined));
    if (this.#isUnauthenticated && this.#queue.size <= 1) this.#authentication.limitToSmallFrames();
  }

  async #handleCommand(text: string): Promise<void> {
    if (this.#hasEnded) return;
    if (this.#isUnauthenticated && Buffer.byteLength(text) > unauthenticatedFrameBytes) {
      return this.close('frame_too_large');
    }
    const frame = parseFrame(text);
    const type = frame?.command.type;
    const registered = typeof type === 'string' ? this.#live.registry.commands.get(type) : undefined;
    if (!registered?.entry.isPipelined) await this.#waitForInFlight();
    if (this.#hasEnded) return;
    if (!frame) return this.#onInvalidFrame();
    this.#live.metrics.requested('chat', registered?.name ?? 'unknown');
    const needsToken = registered?.entry.needs !== 'nothing';
    if (this.#isUnauthenticated && needsToken) return this.#authentication.onInvalidToken(frame.id);
    if (!registered) return this.send({ type: 'query', data: 'COMMAND?', id: frame.id });
    try {
      await this.#run(registered, frame);
    } catch (error) {
      // The error, too, must not overtake the answers to earlier messages.
      await this.#waitForInFlight();
      this.sendError(ChatError.from(error), frame.id);
    }
  }

  async #run({ entry, handle }: RegisteredCommand, { command, id }: ParsedFrame): Promise<void> {
    const { needs } = entry;
    // A command that needs no token is charged by its handler, when it knows the user.
    if (needs !== 'nothing') this.#live.context.requestLimits.consume(this.actor.user, entry.cost, command);
    this.#ignoredKeys = addIgnoredKeys(this.#ignoredKeys, entry, command, id);
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

  #onInvalidFrame(): void {
    if (this.#isUnauthenticated) return this.#authentication.onInvalidToken(undefined);
    this.send({ type: 'status', data: 'BADJSON' });
    this.close('not_json');
  }

  /** Closes the connection if a binary frame is not UTF-8, as `ws` does for text frames. */
  onInvalidUtf8(): void {
    this.close('not_utf8');
  }

  /** Read this only in commands of an authenticated connection. */
  get actor(): Actor {
    return this.#authentication.actor!;
  }

  get #isUnauthenticated(): boolean {
    return !this.#authentication.actor && !this.#hasEnded;
  }

  async useToken(token: unknown, id: Id): Promise<void> {
    if (!(await this.#authentication.useToken(token, id))) return;
    this.send({ type: 'status', data: 'READY', id });
    this.room?.reauthorize();
  }

  onTokenEnded(): void {
    this.close('token_ended');
  }

  /** The selected room. Undefined if no room is selected, or if the client has been removed from the selected room. */
  get room(): RoomSubscription | undefined {
    return this.#subscription?.hasEnded ? undefined : this.#subscription;
  }

  select(room: RoomId, receivesEvents: boolean): SelectedRoom | undefined {
    this.#leaveRoom();
    if (this.#hasEnded) return undefined;
    const { context } = this.#live;
    const collaborators = { connection: this, context, broadcaster: this.#broadcaster };
    this.#subscription = new RoomSubscription({ room, receivesEvents, ...collaborators });
    return this.#subscription;
  }

  get isCongested(): boolean {
    return this.#link.isCongested;
  }

  #leaveRoom(): void {
    const subscription = this.#subscription;
    this.#subscription = undefined;
    subscription?.end();
  }

  /** Resolves when all messages that the client has sent are answered, also in a room that it was removed from. */
  async #waitForInFlight(): Promise<void> {
    await this.#subscription?.waitForInFlight();
  }

  send(frame: ChatFrame): void {
    this.#subscription?.catchUp();
    this.transmit(JSON.stringify(listIgnoredKeys(this.#ignoredKeys, frame)));
  }

  sendError(error: ChatError, id: Id): void {
    const { code, retryAfterMs: retry_after_ms, detail, current } = error;
    this.#live.metrics.refused('chat', code);
    const user = this.#authentication.actor?.user;
    if (user) this.#live.context.requestLimits.chargeRefusal(user, code);
    if (code === 'INTERNAL') this.#live.logger.error({ err: error.cause }, 'command failed');
    const data = errors[code].chat;
    const details = { reason: code, detail, retry_after_ms, id };
    if (data === 'NOTAUTHORIZED') return this.send({ type: 'status', data, ...details });
    this.send({ type: 'status', data, ...details, ...(current !== undefined && { current: current as Message }) });
  }

  transmit(frames: string | readonly Buffer[]): void {
    if (!this.#hasEnded && !this.#link.send(frames)) this.#closeSlowConsumer();
  }

  /** Closes the connection of a client that does not read. Called regularly, because libraries also write to it. */
  checkSendBuffer(): void {
    if (!this.#hasEnded && this.#link.isSendBufferFull) this.#closeSlowConsumer();
  }

  #closeSlowConsumer(): void {
    this.#live.metrics.closedSlowConsumer('chat');
    this.close('does_not_read');
  }

  /** Closes with 1001, after which clients reconnect. */
  drain(): void {
    this.close('draining');
  }

  reconnect(): void {
    this.drain();
  }

  fail(error: unknown): void {
    this.#live.logger.error({ err: error }, 'a change could not be sent to a subscriber');
    this.drain();
  }

  quit(): void {
    this.close('quit');
  }

  close(reason: CloseReason): void {
    if (this.#hasEnded) return;
    this.end();
    this.#link.close(reason);
  }

  /** Releases everything that the connection holds. Commands that are still being handled send nothing any more. */
  end(): void {
    this.#leaveRoom();
    this.#hasEnded = true;
    this.#authentication.end();
  }

  /** Check this again after every `await`: the connection may have closed meanwhile. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }
}

const overloadedMessage = 'The server has too many queued requests, retry later';

import type { Actor } from '../../core/authorization.ts';
import type { JoinResult, SelectedRoom, SentMessage } from '../../core/connections.ts';
import type { ChatFrame, CommandId } from '../../core/contract/chat.ts';
import { formatCursor, type Position } from '../../core/cursor.ts';
import { ChatError, type RemovalCode } from '../../core/errors.ts';
import type { RoomId } from '../../core/ids.ts';
import type { Change, MessageChange } from '../../core/log/change.ts';
import { toChatFrame, toMessageFrame } from '../../core/log/change-kinds.ts';
import type { TransportContext } from '../live-context.ts';
import type { ChatBroadcaster, FrameReceiver } from './broadcaster.ts';

type Id = CommandId | undefined;

/** What a subscription needs from its session. */
export interface SubscribedConnection {
  readonly actor: Actor;
  send(frame: ChatFrame): void;
  /** Sends encoded frames. */
  transmit(frames: readonly Buffer[]): void;
  sendError(error: ChatError, id: Id): void;
  /** Closes the connection so that the client reconnects. */
  reconnect(): void;
  /** The same, after an unexpected error. */
  fail(error: unknown): void;
}

/** A stored message of this connection: its echo carries the command's `id`. */
interface ExpectedEcho {
  id: Id;
  resolveEcho: () => void;
  forget: () => void;
}

interface Collaborators {
  room: RoomId;
  connection: SubscribedConnection;
  context: Pick<TransportContext, 'feeds'>;
  broadcaster: ChatBroadcaster;
}

/** One session in one room, until it selects another room, is removed, or closes. */
export class RoomSubscription implements SelectedRoom, FrameReceiver {
  readonly room: RoomId;
  readonly #connection: SubscribedConnection;
  readonly #context: Pick<TransportContext, 'feeds'>;
  readonly #broadcaster: ChatBroadcaster;
  #leaveFeed: (() => void) | undefined;
  #hasEnded = false;
  /** Messages that are not answered yet: a command of another kind waits for them, the next message does not. */
  #inFlight: Set<Promise<unknown>> | undefined;
  /** By their `rev`; undefined for connections that send nothing, to save memory. */
  #expectedEchoes: Map<number, ExpectedEcho> | undefined;

  constructor({ room, connection, context, broadcaster }: Collaborators) {
    this.room = room;
    this.#connection = connection;
    this.#context = context;
    this.#broadcaster = broadcaster;
  }

  get actor(): Actor {
    return this.#connection.actor;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Answers `CONNECTED`, then sends the missed messages; after that the connection receives the room's messages. */
  async join(join: (onJoined: (joined: JoinResult) => void) => Promise<() => void>, id: Id): Promise<void> {
    const leave = await join(({ rights, head, recovered, events }) => {
      if (this.#hasEnded) return;
      this.#sendConnected(rights, head, recovered, id);
      for (const change of events) this.deliver(change);
    });
    if (this.#hasEnded) leave();
    else this.#leaveFeed = leave;
  }

  /** Selecting the current room again changes nothing. */
  confirm(id: Id): void {
    const feed = this.#context.feeds.find(this.room);
    if (!feed?.position) throw new ChatError('UNAVAILABLE');
    this.#sendConnected(feed.getRights(this.actor), feed.position, false, id);
  }

  #sendConnected(rights: string, head: Position, recovered: boolean, id: Id): void {
    const position = { rev: head.rev, cursor: formatCursor(head) };
    const room_id = this.room;
    this.#connection.send({ type: 'status', data: 'CONNECTED', room_id, rights, ...position, recovered, id });
  }

  deliver(change: Change): void {
    if (change.kind === 'message' && this.onOwnMessage(change)) return;
    const frame = toChatFrame(change);
    if (frame) this.#connection.send(frame);
  }

  goLive(): void {
    if (!this.#hasEnded) this.#broadcaster.add(this.room, this);
  }

  remove(reason: RemovalCode): void {
    this.end();
    this.#context.feeds.release(this.room);
    this.#connection.send({ type: 'status', data: 'NOTAUTHORIZED', reason });
  }

  reconnect(): void {
    this.#connection.reconnect();
  }

  end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#broadcaster.remove(this.room, this);
    this.#leaveFeed?.();
    for (const { resolveEcho, forget } of this.#expectedEchoes?.values() ?? []) {
      forget();
      resolveEcho();
    }
    this.#expectedEchoes = undefined;
  }

  /** Authorizes the session again after its token has changed. */
  reauthorize(): void {
    this.#context.feeds.find(this.room)?.reauthorize(this);
  }

  write(frames: readonly Buffer[]): void {
    this.#connection.transmit(frames);
  }

  /** The echo of a message of this connection; an echo with an `id` is a separate frame. */
  onOwnMessage(change: MessageChange): boolean {
    const expected = this.#expectedEchoes?.get(change.rev);
    if (!expected) return false;
    const { id, resolveEcho, forget } = expected;
    this.#expectedEchoes!.delete(change.rev);
    forget();
    if (id !== undefined) this.#connection.send({ ...toMessageFrame(change), id });
    resolveEcho();
    return id !== undefined;
  }

  fail(error: unknown): void {
    this.#connection.fail(error);
  }

  /** Writes the room's pending messages before something else is sent. */
  catchUp(): void {
    this.#broadcaster.catchUp(this.room, this);
  }

  /** Resolves when the message has its position in the order; its echo or refusal follows when it is stored. */
  async append(
    send: (onStored: (change: MessageChange) => void) => Promise<{ stored: Promise<SentMessage> }>,
    id: Id,
  ): Promise<void> {
    let echo: Promise<void> | undefined;
    const { stored } = await send(({ rev }) => {
      // If reconciliation was faster than the answer to the commit, the echo has already been sent.
      const delivered = this.#context.feeds.find(this.room)?.position?.rev ?? 0;
      if (this.#hasEnded || delivered >= rev) return;
      const forget = this.#broadcaster.expectOwnMessage(this.room, rev, this);
      const echoes = this.#expectedEchoes ?? new Map<number, ExpectedEcho>();
      this.#expectedEchoes = echoes;
      echo = new Promise((resolveEcho) => echoes.set(rev, { id, resolveEcho, forget }));
    });
    const answered = stored
      .then(async ({ message: data, duplicate, rev, cursor }) => {
        if (duplicate) this.#connection.send({ type: 'message', rev, cursor, data, duplicate: true, id });
        await echo;
      })
      .catch((error) => this.#connection.sendError(ChatError.from(error), id))
      .finally(() => this.#inFlight!.delete(answered));
    this.#inFlight ??= new Set();
    this.#inFlight.add(answered);
  }

  async waitForInFlight(): Promise<void> {
    if (this.#inFlight) await Promise.all(this.#inFlight);
  }
}

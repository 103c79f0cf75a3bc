import type { Actor } from '../../core/authorization.ts';
import type { JoinResult, SelectedRoom, SentMessage } from '../../core/connections.ts';
import type { ChatFrame, CommandId } from '../../core/contract/chat.ts';
import { formatCursor, type Position } from '../../core/cursor.ts';
import { ChatError, type RemovalCode } from '../../core/errors.ts';
import type { RoomId } from '../../core/ids.ts';
import type { Change, MessageChange } from '../../core/log/change.ts';
import { isPlainMessage, toChatFrame, toMessageFrame } from '../../core/log/change-kinds.ts';
import type { TransportContext } from '../live-context.ts';
import { type ChatBroadcaster, encodeEventFrame, type FrameReceiver } from './broadcaster.ts';

type Id = CommandId | undefined;

/** The methods of a session that its subscription uses. */
export interface SubscribedConnection {
  readonly actor: Actor;
  readonly isCongested: boolean;
  send(frame: ChatFrame): void;
  /** Sends encoded frames. */
  transmit(frames: readonly Buffer[]): void;
  sendError(error: ChatError, id: Id): void;
  /** Closes the connection so that the client reconnects. */
  reconnect(): void;
  /** Logs an unexpected error, then closes the connection so that the client reconnects. */
  fail(error: unknown): void;
}

/** A stored message of this connection whose echo has not been sent yet. The echo repeats the `id` of the command. */
interface ExpectedEcho {
  id: Id;
  resolveEcho: () => void;
  forget: () => void;
}

interface Collaborators {
  room: RoomId;
  receivesEvents: boolean;
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
  #receivesEvents: boolean;
  #hasJoined = false;
  /** The position of the first answer, until the feed has reached it. */
  #joinedAt: Position | undefined;
  #isLive = false;
  #hasEnded = false;
  /** The messages that are not answered yet. The next message does not wait for them, but all other commands do. */
  #inFlight: Set<Promise<unknown>> | undefined;
  /** The expected echoes by `rev`. Undefined until the connection sends a message, to save memory. */
  #expectedEchoes: Map<number, ExpectedEcho> | undefined;

  constructor({ room, receivesEvents, connection, context, broadcaster }: Collaborators) {
    this.room = room;
    this.#receivesEvents = receivesEvents;
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

  get receivesEvents(): boolean {
    return this.#receivesEvents;
  }

  get isCongested(): boolean {
    return this.#connection.isCongested;
  }

  /** Answers `CONNECTED` and sends what was missed. After that, the connection receives what happens in the room. */
  async join(join: (onJoined: (joined: JoinResult) => void) => Promise<void>, id: Id): Promise<void> {
    await join(({ rights, head, recovered, events }) => {
      if (this.#hasEnded) return;
      if (!this.#isLive) this.#joinedAt = head;
      this.#sendConnected(rights, head, recovered, id);
      for (const change of events) this.deliver(change);
    });
    this.#hasJoined = true;
    if (this.#hasEnded) this.#leaveFeed();
  }

  /**
   * Answers a client that selects its current room again. The subscription continues, but events may be switched on or
   * off. The answer contains the position from which on the switch applies.
   */
  confirm(receivesEvents: boolean, id: Id): void {
    const feed = this.#context.feeds.find(this.room);
    if (!feed?.position) throw new ChatError('UNAVAILABLE');
    this.#sendConnected(feed.getRights(this.actor), this.#joinedAt ?? feed.position, false, id);
    if (receivesEvents === this.#receivesEvents) return;
    if (this.#isLive) this.#broadcaster.remove(this.room, this);
    this.#receivesEvents = receivesEvents;
    if (this.#isLive) this.#broadcaster.add(this.room, this);
  }

  #sendConnected(rights: string, head: Position, recovered: boolean, id: Id): void {
    const position = { rev: head.rev, cursor: formatCursor(head) };
    const room_id = this.room;
    this.#connection.send({ type: 'status', data: 'CONNECTED', room_id, rights, ...position, recovered, id });
  }

  deliver(change: Change): void {
    if (change.kind === 'message' && this.onOwnMessage(change)) return;
    if (this.#receivesEvents || isPlainMessage(change)) this.#connection.send(toChatFrame(change));
  }

  deliverEvent(name: string, payload: object): void {
    if (!this.receivesEvents) return;
    this.catchUp();
    this.write([encodeEventFrame(name, payload)]);
  }

  goLive(): void {
    if (this.#hasEnded) return;
    this.#isLive = true;
    this.#joinedAt = undefined;
    this.#broadcaster.add(this.room, this);
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
    if (this.#hasJoined) this.#leaveFeed();
    for (const { resolveEcho, forget } of this.#expectedEchoes?.values() ?? []) {
      forget();
      resolveEcho();
    }
    this.#expectedEchoes = undefined;
  }

  #leaveFeed(): void {
    this.#context.feeds.leave(this.room, this);
  }

  /** Authorizes the session again after its token has changed. */
  reauthorize(): void {
    this.#context.feeds.find(this.room)?.reauthorize(this);
  }

  write(frames: readonly Buffer[]): void {
    this.#connection.transmit(frames);
  }

  /** Sends the echo in a separate frame if the command had an `id`. Returns true if it did so. */
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

  /**
   * Resolves when no later message of the client can overtake this one. The client receives the echo or an error after
   * the commit.
   */
  async append(
    send: (onStored: (change: MessageChange) => void) => Promise<{ stored: Promise<SentMessage> }>,
    id: Id,
  ): Promise<void> {
    let echo: Promise<void> | undefined;
    const { stored } = await send(({ rev }) => {
      // Reconciliation may deliver the message before this callback runs. Then the echo has already been sent.
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

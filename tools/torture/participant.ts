import type { RemovalCode } from '../../src/core/errors.ts';
import type { InboxItem } from '../../src/core/inbox-item.ts';
import type { Message } from '../../src/core/log/message.ts';
import { type TestUser, withClaims } from '../../test/helpers/users.ts';
import type { Random } from '../fuzz/random.ts';
import type {
  Connection,
  Dial,
  JoinAnswer,
  OperationAnswer,
  Position,
  Receipt,
  ReceivedChange,
  Settings,
} from './connection.ts';
import { Operations } from './operations.ts';
import { Outbox } from './outbox.ts';
import {
  type Evidence,
  type InboxSession,
  type Mark,
  type Operation,
  type Sent,
  type Setting,
  type Subscription,
  type Transport,
  type Violation,
  versionText,
} from './record.ts';
import { RoomClient } from './room-client.ts';
import type { Head } from './room-history.ts';

const readyMs = 6_000;
const answerMs = 15_000;
const tokenSeconds = 3_600;
/** After this time, a server has noticed that a client no longer answers its pings. */
const pingMs = 60_000;
const intervalMs = {
  ...{ write: 800, operate: 900, readPage: 5_000, mark: 2_000, set: 4_000, type: 6_000 },
  ...{ leave: 9_000, rejoin: 700, joinAgain: 20_000, quit: 30_000 },
};

/** Returns true with the probability that an event with this mean interval has happened since the last tick. */
type Happens = (everyMs: number) => boolean;

export interface Profile {
  name: string;
  person: TestUser;
  transport: Transport;
  dial: Dial;
  /** The rooms that the client may enter. On `/chat` it is in one of them at a time. */
  rooms: number[];
  /** Opens an inbox on each connection. */
  hasInbox: boolean;
  /** Sometimes moves its read position back. */
  mayForce: boolean;
  asksPresence: boolean;
  /** The server notices the end of its connection only if a ping is not answered. */
  polls: boolean;
}

/**
 * One client, as a careful author would write it. It compares the state that it wants with the state that it has, and
 * acts on the difference.
 */
export class Participant {
  readonly name: string;
  readonly user: string;
  readonly entity: string;
  readonly #profile: Profile;
  readonly #urls: string[];
  readonly #random: Random;
  readonly #evidence: Evidence;
  readonly #outbox: Outbox;
  readonly #operations: Operations;
  readonly #roomClients: RoomClient[];
  #connection: Connection | undefined;
  #inbox: InboxSession | undefined;
  readonly #unansweredTyping = new Set<(at: number) => void>();
  #node = 0;
  #isReady = false;
  #dialledAt = 0;
  #dialAt = 0;
  #failures = 0;
  #freshTokenAt = Number.POSITIVE_INFINITY;
  #isSettled = false;
  #lastTick = 0;

  constructor(profile: Profile, urls: string[], random: Random, evidence: Evidence) {
    this.#profile = profile;
    this.#urls = urls;
    this.#random = random;
    this.#evidence = evidence;
    this.name = profile.name;
    this.user = profile.person.user;
    this.entity = profile.person.entity;
    const violation = (fault: Violation['fault'], what: string) => this.#violation(fault, what);
    this.#outbox = new Outbox(evidence, { client: this.name, user: this.user });
    this.#operations = new Operations(evidence, { client: this.name, user: this.user }, random);
    this.#roomClients = profile.rooms.map((room) => new RoomClient(room, profile, evidence, violation));
    if (profile.transport !== 'socketio')
      for (const roomClient of this.#roomClients.slice(1)) roomClient.isWanted = false;
  }

  get pending(): number {
    return this.#outbox.size + this.#operations.size;
  }

  get subscriptions(): Subscription[] {
    return this.#roomClients.flatMap(({ subscription }) => subscription ?? []);
  }

  /**
   * Performs the actions that are due. It is called often; delays are stored as times at which an action becomes due.
   */
  tick(now: number): void {
    const elapsed = now - (this.#lastTick || now);
    this.#lastTick = now;
    if (!this.#connection) return now >= this.#dialAt ? this.#dial(now) : undefined;
    if (!this.#isReady) return now > this.#dialledAt + readyMs ? this.#lose('cut', now) : undefined;
    if (this.#roomClients.some(({ askedAt }) => now > askedAt + answerMs)) return this.#lose('cut', now);
    const happens = (everyMs: number) => !this.#isSettled && this.#random.chance(elapsed / everyMs);
    if (happens(intervalMs.quit)) return this.#connection.end('politely');
    this.#wander(now, happens);
    for (const roomClient of this.#roomClients) this.#move(roomClient, now);
    const mayGo = (room: number) => this.#maySendTo(room);
    for (const message of this.#outbox.take(now, mayGo)) this.#connection.send(message);
    for (const operation of this.#operations.take(now, mayGo)) this.#operate(operation);
    for (const roomClient of this.#roomClients)
      if (roomClient.needsPage && !this.#isSelecting) this.#readPage(roomClient, now);
    if (now < this.#freshTokenAt) return;
    this.#freshTokenAt = Number.POSITIVE_INFINITY;
    this.#connection.refresh(this.#token(tokenSeconds));
  }

  /** Simulates a network failure. */
  lose(how: 'cut' | 'vanish'): void {
    if (this.#connection) this.#lose(how, performance.now());
  }

  /** Replaces the token by a token that expires soon. In some cases the client renews it in time. */
  shortenToken(): void {
    if (!this.#isReady) return;
    this.#connection?.refresh(this.#token(2));
    if (this.#random.chance(0.5)) this.#freshTokenAt = performance.now() + 800;
  }

  /** Stops sending and switching rooms. From now on the client only wants to be in its rooms. */
  settle(): void {
    this.#isSettled = true;
    if (this.#profile.transport === 'socketio') for (const roomClient of this.#roomClients) roomClient.isWanted = true;
  }

  /** Sends a last message to every room that the client is in. */
  sendLast(): void {
    for (const { room, isIn, isWanted } of this.#roomClients) if (isIn && isWanted) this.#outbox.write(room);
  }

  /** Describes why the client has not received everything up to these heads. */
  missing(heads: Map<number, Head>): string[] {
    const connection = this.#isReady ? '' : this.#connection ? ', not connected yet' : ', waits to connect';
    return this.#roomClients.flatMap((roomClient) => {
      const missing = roomClient.missing(heads.get(roomClient.room)!);
      return missing === undefined ? [] : [missing + connection];
    });
  }

  /** Describes why the inbox does not show the newest message of each of its rooms. */
  missingInInbox(heads: Map<number, Head>): string[] {
    if (!this.#profile.hasInbox) return [];
    if (!this.#inbox) return [`${this.name} has no inbox`];
    const { rooms, removed } = this.#inbox;
    return [...rooms].flatMap(([room, seen]) => {
      const { lastSeq, at } = seen.at(-1)!;
      const isGone = removed.some((one) => one.room === room && one.at >= at);
      const { seq } = heads.get(room)!;
      return isGone || lastSeq >= seq
        ? []
        : [`the inbox of ${this.name} shows seq ${lastSeq} of ${seq} in room ${room}`];
    });
  }

  /** Completes the evidence at the end of the run. */
  close(): void {
    for (const { room, refusal, isWanted, isIn, timeline } of this.#roomClients) {
      if (isIn && this.#profile.transport !== 'chat' && timeline.floor !== undefined) {
        const { name: client, user } = this;
        this.#evidence.timelines.push({
          client,
          user,
          room,
          floor: timeline.floor,
          hasTombstones: !this.#isChat,
          messages: timeline.toFinal(),
        });
      }
      if (refusal && isWanted)
        this.#evidence.excluded.push({ client: this.name, user: this.user, room, code: refusal });
    }
    for (const roomClient of this.#roomClients) roomClient.showTyping([]);
    this.#connection?.end('cut');
  }

  #dial(now: number): void {
    const { dial, person } = this.#profile;
    this.#node = this.#random.int(this.#urls.length);
    this.#dialledAt = now;
    this.#isReady = false;
    this.#freshTokenAt = Number.POSITIVE_INFINITY;
    const node = this.#node;
    const token = withClaims(person, { exp: Math.floor(Date.now() / 1_000) + tokenSeconds }).token;
    this.#connection = dial(this.#urls[node]!, token, {
      ready: () => {
        this.#isReady = true;
        this.#failures = 0;
        if (this.#profile.hasInbox) this.#connection!.openInbox((items) => this.#openInbox(items));
      },
      inboxItems: (items) => this.#addItems(items),
      inboxRemoved: (room) => {
        this.#inbox?.removed.push({ room, at: performance.now() });
      },
      readsChanged: (room, reads) => this.#showReads(room, reads, 'read:changed'),
      presenceChanged: (room, presence) =>
        this.#roomClients.find((one) => one.room === room)?.showPresence(presence, performance.now()),
      received: (change) => this.#receive(change),
      removed: (room, code) => this.#removed(room, code),
      stored: (id, answer) => this.#outbox.stored(id, { is: 'stored', ...answer, at: performance.now(), node }),
      refused: (id, code) => this.#outbox.refused(id, code, performance.now()),
      notYet: (id) => this.#outbox.postpone(id, performance.now()),
      typingChanged: (room, users) => this.#roomClients.find((one) => one.room === room)?.showTyping(users),
      ended: () => this.#ended(performance.now()),
      violation: (what) => this.#violation('protocol', what),
    });
  }

  #lose(how: 'cut' | 'vanish', now: number): void {
    this.#connection!.end(how);
    this.#ended(now, how === 'vanish' || this.#profile.polls ? now + pingMs : now);
  }

  /** Schedules a reconnection with a growing, random backoff. */
  #ended(now: number, noticedBy = now): void {
    this.#connection = undefined;
    if (this.#inbox) this.#inbox.endedAt = now;
    for (const setTime of this.#unansweredTyping) setTime(now);
    this.#unansweredTyping.clear();
    this.#inbox = undefined;
    this.#isReady = false;
    this.#dialAt = now + Math.min(1_500, 80 * 2 ** this.#failures) * (0.5 + this.#random.int(100) / 100);
    this.#failures += 1;
    this.#outbox.connectionLost();
    this.#operations.connectionLost();
    for (const roomClient of this.#roomClients) roomClient.connectionLost(now, noticedBy);
  }

  #wander(now: number, happens: Happens): void {
    const current = this.#isSelecting ? [] : this.#roomClients.filter(({ isIn, isWanted }) => isIn && isWanted);
    if (current.length > 0 && happens(intervalMs.write)) {
      const { room } = this.#random.pick(current);
      for (let n = this.#random.chance(0.1) ? 5 : 1; n > 0; n--) this.#write(room);
    }
    if (current.length > 0 && happens(intervalMs.operate)) {
      const { room, timeline } = this.#random.pick(current);
      this.#operations.begin(room, timeline);
    }
    if (current.length > 0 && happens(intervalMs.mark)) this.#mark(this.#random.pick(current));
    if (current.length > 0 && happens(intervalMs.set)) this.#set(this.#random.pick(current).room);
    if (current.length > 0 && happens(intervalMs.type)) this.#type(this.#random.pick(current).room);
    if (current.length > 0 && happens(intervalMs.readPage)) this.#readPage(this.#random.pick(current), now);
    if (this.#isChat) return this.#wanderOnChat(happens);
    for (const roomClient of this.#roomClients) {
      if (roomClient.isWanted && happens(intervalMs.leave)) roomClient.isWanted = false;
      else if (!roomClient.isWanted && happens(intervalMs.rejoin)) roomClient.rejoin(this.#random.chance(0.7));
      else if (roomClient.isIn && happens(intervalMs.joinAgain)) this.#join(roomClient, now);
    }
  }

  /**
   * On /chat a client leaves a room only by selecting another, and it can repeat a message only in the selected room.
   */
  #wanderOnChat(happens: Happens): void {
    const current = this.#roomClients.find(({ isWanted }) => isWanted)!;
    const stuck = current.refusal !== undefined && happens(intervalMs.rejoin);
    if (this.#roomClients.length < 2 || this.pending > 0 || !(stuck || happens(intervalMs.leave))) return;
    current.isWanted = false;
    this.#random
      .pick(this.#roomClients.filter((roomClient) => roomClient !== current))
      .rejoin(this.#random.chance(0.7));
  }

  #move(roomClient: RoomClient, now: number): void {
    if (roomClient.isBusy) return;
    const mustJoin = roomClient.mustJoinAgain || !roomClient.isIn;
    if (roomClient.isWanted && mustJoin && now >= roomClient.joinAt) return this.#join(roomClient, now);
    if (roomClient.isWanted || !roomClient.isIn || this.#isChat) return;
    roomClient.ask(now);
    this.#connection!.leave(roomClient.room, () => roomClient.left(performance.now()));
  }

  #join(roomClient: RoomClient, now: number): void {
    if (roomClient.isBusy || this.#isSelecting) return;
    const node = this.#node;
    roomClient.ask(now);
    const options = { since: roomClient.cursor, withPresence: this.#profile.asksPresence };
    this.#connection!.join(roomClient.room, options, (answer) => this.#joined(roomClient, answer, node));
  }

  #joined(roomClient: RoomClient, answer: JoinAnswer, node: number): void {
    const now = performance.now();
    // A select leaves the previous room even if it fails.
    if (this.#isChat) for (const other of this.#roomClients) if (other !== roomClient) other.left(now);
    const retryAt = now + 300 + this.#random.int(900);
    roomClient.joined(answer, node, now, retryAt);
    if (answer.ok && answer.reads) this.#recordOwn(roomClient.room, answer.reads, 'room:join');
    if (!answer.ok && roomClient.refusal && this.#isChat) this.#giveUp(roomClient.room);
  }

  #receive(change: ReceivedChange): void {
    const roomClient = this.#roomClients.find(({ room }) => room === change.room);
    if (roomClient) roomClient.receive(change, performance.now());
    else this.#violation('protocol', `received rev ${change.rev} of room ${change.room}, which it never joined`);
  }

  #removed(room: number, code: RemovalCode): void {
    const roomClient = this.#roomClients.find((one) => one.room === room);
    const now = performance.now();
    if (!roomClient?.removed(code, now, now + 300 + this.#random.int(1_200))) {
      this.#violation('protocol', `removed from room ${room} (${code}), which it has not joined`);
    }
    if (this.#isChat) this.#giveUp(room);
  }

  #giveUp(room: number): void {
    this.#outbox.giveUp(room);
    this.#operations.giveUp(room);
  }

  #write(room: number): void {
    if (this.#random.chance(0.7)) return this.#outbox.write(room);
    const timeline = this.#roomClients.find((roomClient) => roomClient.room === room)!.timeline;
    const known = timeline.recent(20);
    const roots = known.filter(({ thread }) => thread === undefined);
    this.#outbox.write(room, (token): NonNullable<Sent['extras']> => {
      const kind = this.#random.int(5);
      if (kind === 0) return { silent: true };
      if (kind === 1) return { custom: { token, numbers: [1e21, 0.1], b: null, a: '' } };
      if (kind === 2) return { mentions: [this.user] };
      if (known.length === 0 || roots.length === 0) return {};
      return kind === 3 ? { reply_to: this.#random.pick(known).seq } : { thread: this.#random.pick(roots).seq };
    });
  }

  #operate(operation: Operation): void {
    const roomClient = this.#roomClients.find(({ room }) => room === operation.room)!;
    const { timeline } = roomClient;
    const { askedAt } = operation;
    this.#connection!.operate(operation, (answer: OperationAnswer) => {
      this.#operations.answered(operation, answer, performance.now());
      const message = answer.ok ? answer.message : answer.current;
      if (message) this.#recordAnswer(message, askedAt, operation.kind);
      if (!answer.ok || roomClient.timeline !== timeline) return;
      if (message) timeline.addAnswer(message, answer.rev);
      if (answer.reactions) timeline.addReactions(operation.seq, answer.reactions, answer.rev);
    });
  }

  /** Loads the latest page, or the page before the messages that the client has. */
  #readPage(roomClient: RoomClient, now: number): void {
    if (roomClient.pageAskedAt !== undefined) return;
    roomClient.pageAskedAt = now;
    const { timeline } = roomClient;
    const { floor } = timeline;
    const before = floor !== undefined && floor > 1 && this.#random.chance(0.5) ? floor : undefined;
    this.#connection!.readPage(roomClient.room, before, (page) => {
      for (const message of page?.messages ?? []) this.#recordAnswer(message, now, 'page');
      if (page?.messages.some(({ room_id }) => room_id !== roomClient.room))
        return this.#violation('protocol', `a page of room ${roomClient.room} has messages of another room`);
      if (roomClient.timeline !== timeline) return;
      if (page) roomClient.addPage(page);
      else roomClient.pageAskedAt = undefined;
    });
  }

  /** Marks the newest message as read, or moves the position back. */
  #mark({ room, timeline }: RoomClient): void {
    const known = timeline.recent(20);
    if (known.length === 0) return;
    const force = this.#profile.mayForce && this.#random.chance(0.2);
    const seq = force ? this.#random.pick(known).seq : known[0]!.seq;
    const mark: Mark = { client: this.name, user: this.user, room, seq, force, done: undefined };
    this.#evidence.marks.push(mark);
    this.#connection!.mark(mark, (position) => {
      mark.done = { ...position, at: performance.now() };
      this.#recordPosition(room, position, 'mark');
    });
  }

  /** Mutes or hides a room, or ends that. */
  #set(room: number): void {
    if (this.#isChat) return;
    const name = this.#random.pick(['muted', 'hidden'] as const);
    const setting: Setting = { client: this.name, user: this.user, room, done: undefined };
    this.#evidence.settings.push(setting);
    this.#connection!.set(room, { [name]: this.#random.chance(0.5) } as Partial<Settings>, (settings) => {
      setting.done = { ...settings, at: performance.now() };
    });
  }

  /** Half of the clients do not say that they have stopped. */
  #type(room: number): void {
    if (this.#isChat) return;
    const key = `${room} ${this.user}`;
    const times = this.#evidence.typed.get(key) ?? [];
    this.#evidence.typed.set(key, times);
    const typing = this.#random.chance(0.8);
    // Until the answer arrives, the server may handle the request at any time.
    const request = { from: performance.now(), to: Number.POSITIVE_INFINITY };
    if (typing) times.push(request);
    const setTime = (at: number) => {
      request.to = at;
    };
    this.#unansweredTyping.add(setTime);
    this.#connection!.type(room, typing, () => {
      setTime(performance.now());
      this.#unansweredTyping.delete(setTime);
    });
  }

  #showReads(room: number, reads: Receipt[], what: string): void {
    this.#recordOwn(room, reads, what);
    this.#roomClients.find((one) => one.room === room)?.showReads(reads, performance.now());
  }

  #recordOwn(room: number, reads: Receipt[], what: string): void {
    for (const receipt of reads) if (receipt.user === this.user) this.#recordPosition(room, receipt, what);
  }

  #recordPosition(room: number, { readSeq, version }: Position, what: string): void {
    this.#evidence.positions.push({ client: this.name, user: this.user, room, readSeq, version, what });
  }

  #openInbox(items: InboxItem[]): void {
    const { name: client, user, entity } = this;
    const times = { openedAt: performance.now(), endedAt: undefined };
    this.#inbox = { client, user, entity, ...times, rooms: new Map(), removed: [] };
    this.#evidence.inboxes.push(this.#inbox);
    this.#addItems(items);
  }

  #addItems(items: InboxItem[]): void {
    const at = performance.now();
    for (const item of items) {
      const { id: room, last_seq: lastSeq, read_seq: readSeq, version, unread, unread_mentions: mentions, name } = item;
      const { last_message: last, muted, hidden } = item;
      const seen = this.#inbox?.rooms.get(room) ?? [];
      this.#inbox?.rooms.set(room, seen);
      const lastMessage = last ? { seq: last.seq, content: last.content } : undefined;
      const activityAt = Date.parse(item.activityAt);
      seen.push({ at, lastSeq, readSeq, version, unread, mentions, muted, hidden, name, activityAt, lastMessage });
      this.#recordPosition(room, { readSeq, version }, 'inbox');
    }
  }

  #recordAnswer(message: Message, askedAt: number, what: string): void {
    const { room_id: room, seq, version } = message;
    const text = versionText(message);
    this.#evidence.answers.push({ client: this.name, room, seq, version, text, askedAt, what });
  }

  /**
   * On Socket.IO a client can send to a room without having joined it. A duplicate is acknowledged even to a banned
   * user.
   */
  #maySendTo(room: number): boolean {
    if (this.#profile.transport === 'socketio') return true;
    return (
      this.#roomClients.some((roomClient) => roomClient.room === room && roomClient.isIn && roomClient.isWanted) &&
      !this.#isSelecting
    );
  }

  /** On /chat, the server applies all commands behind a select to the newly selected room. */
  get #isSelecting(): boolean {
    return this.#isChat && this.#roomClients.some(({ isBusy }) => isBusy);
  }

  get #isChat(): boolean {
    return this.#profile.transport !== 'socketio';
  }

  #token(seconds: number): string {
    return withClaims(this.#profile.person, { exp: Math.floor(Date.now() / 1_000) + seconds }).token;
  }

  #violation(fault: Violation['fault'], what: string): void {
    this.#evidence.violations.push({ fault, what: `${this.name} on node ${this.#node + 1}: ${what}` });
  }
}

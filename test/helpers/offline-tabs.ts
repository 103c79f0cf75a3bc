import { setImmediate } from 'node:timers/promises';
import type { StorageState } from '../../src/client/api.ts';
import { ClientInbox } from '../../src/client/client-inbox.ts';
import { Emitter } from '../../src/client/emitter.ts';
import { ChatClientError } from '../../src/client/errors.ts';
import type { ClientPart } from '../../src/client/host.ts';
import { MemoryStorage } from '../../src/client/memory-storage.ts';
import { Offline } from '../../src/client/offline.ts';
import { Room } from '../../src/client/room.ts';
import { readLimits } from '../../src/client/room-connection.ts';
import type { OfflineOptions } from '../../src/client/storage.ts';
import type { Storage, StorageOp, StoredRecord } from '../../src/client/storage-records.ts';
import { me } from './fake-room.ts';
import type { Json } from './json.ts';
import { waitUntil } from './wait-until.ts';

const createdAt = '2026-01-01T00:00:00.000Z';
const other = '00000000-0000-0000-0000-00000000000b';

/** The log of room 7, with the parts of the protocol that a client needs to follow it. */
export class FakeService {
  readonly messages: Json[] = [];
  readonly log: { name: string; seq: number }[] = [];
  readonly links = new Set<FakeLink>();
  /** The messages after each change of the log. */
  readonly #states: Json[][] = [];
  /** How many changes a join replays. */
  maxReplay = 500;
  refusal: ChatClientError | undefined;

  get rev(): number {
    return this.log.length;
  }

  send(content: string, client_msg_id: string | null = null, emitter = other): Json {
    const known = client_msg_id && this.messages.find((message) => message.client_msg_id === client_msg_id);
    if (known) return known;
    const seq = this.messages.length + 1;
    const message = {
      ...{ id: seq, room_id: 7, seq, emitter, content, client_msg_id, createdAt, updatedAt: createdAt },
      version: this.rev + 1,
      rev: this.rev + 1,
    };
    this.messages.push(message);
    this.#append('message:new', seq);
    return message;
  }

  edit(seq: number, content: string): void {
    this.#change(seq, { content, editedAt: createdAt });
  }

  delete(seq: number): void {
    this.#change(seq, { content: '', deletedAt: createdAt, deleted_by: other, editedAt: undefined, reactions: [] });
  }

  react(seq: number, count: number): void {
    const message = this.messages[seq - 1]!;
    if (message.deletedAt) return;
    message.reactions = [{ emoji: '+', count }];
    this.#append('reaction:changed', seq);
  }

  /** The states of the message after this `rev` and each later one. */
  statesSince(rev: number, seq: number): Json[] {
    return this.#states.slice(Math.max(0, rev - 1)).flatMap((messages) => messages[seq - 1] ?? []);
  }

  /** A restore from a backup: the newest changes never happened. */
  forget(messages: number): void {
    this.messages.splice(-messages);
    this.log.splice(-messages);
    this.#states.splice(-messages);
  }

  cursorOf = (rev: number) => `7.${rev}.${this.log[rev - 1]?.seq ?? 0}`;

  answer(name: string, payload: Json): Json {
    if (name === 'room:join') return this.#join(payload.since);
    if (name === 'message:send') {
      const { rev, ...message } = this.send(payload.content, payload.client_msg_id, me);
      return { message, rev, cursor: this.cursorOf(rev), duplicate: false };
    }
    if (name === 'message:edit') {
      this.edit(payload.seq, payload.content);
      return { message: toWire(this.messages[payload.seq - 1]!), rev: this.rev, cursor: this.cursorOf(this.rev) };
    }
    if (name === 'message:delete') for (const seq of payload.seqs) this.delete(seq);
    if (name === 'message:history') {
      const { before = Number.POSITIVE_INFINITY, after, limit } = payload;
      const all = this.messages.filter(({ seq }) => seq < before && seq > (after ?? 0));
      const page = (after === undefined ? all.slice(-limit) : all.slice(0, limit)).map(toWire);
      const has_more = all.length > page.length;
      const next = after === undefined ? { before: page[0]?.seq } : { after: page.at(-1)?.seq };
      return { messages: page, rev: this.rev, has_more, next: has_more ? next : null };
    }
    return {};
  }

  #join(since: string | undefined): Json {
    const room = { id: 7, uuid: 'a-uuid', name: 'a room', level_admin: 100, last_seq: this.messages.length };
    const joined = { room, rights: 'rw', rev: this.rev, cursor: this.cursorOf(this.rev) };
    const from = Number(since?.split('.')[1] ?? Number.NaN);
    const isKnown = since !== undefined && since === this.cursorOf(from) && this.rev - from <= this.maxReplay;
    if (!isKnown) return { ...joined, recovered: false, events: [] };
    const given = new Set<number>();
    const events = this.log.slice(from).map(({ name, seq }, n) => {
      const rev = from + n + 1;
      const isSkipped = given.has(seq);
      given.add(seq);
      if (isSkipped) return this.#toEvent('change:skipped', seq, rev);
      if (name === 'message:new') return this.#toEvent(name, seq, rev);
      // The present state, whatever the entry is about.
      const event = this.#toEvent('message:changed', seq, rev);
      return { ...event, payload: { reactions: [], ...event.payload } };
    });
    return { ...joined, recovered: true, events };
  }

  #change(seq: number, fields: Json): void {
    const message = this.messages[seq - 1]!;
    if (message.deletedAt) return;
    Object.assign(message, fields, { version: this.rev + 1 });
    this.#append('message:changed', seq);
  }

  #append(name: string, seq: number): void {
    this.log.push({ name, seq });
    this.#states.push(structuredClone(this.messages));
    for (const link of this.links) link.receive(this.#toEvent(name, seq, this.rev));
  }

  #toEvent(name: string, seq: number, rev: number): Json {
    const { reactions = [], ...message } = toWire(this.messages[seq - 1]!);
    const position = { room_id: 7, rev, cursor: this.cursorOf(rev) };
    if (name === 'change:skipped') return { name, payload: position };
    if (name === 'reaction:changed') return { name, payload: { seq, reactions, ...position } };
    return { name, payload: { ...message, ...(reactions.length > 0 && { reactions }), ...position } };
  }
}

const toWire = ({ rev: _, ...message }: Json): Json => structuredClone(message);

type Answer = (error?: ChatClientError, ack?: Json) => void;

/** Answers in the order of the requests and events, each in a later task. */
class FakeLink {
  readonly #service: FakeService;
  readonly #tab: Tab;
  #isJoined = false;
  #hasEnded = false;
  #last: Promise<unknown> = Promise.resolve();
  readonly #pending = new Set<Answer>();

  constructor(service: FakeService, tab: Tab) {
    this.#service = service;
    this.#tab = tab;
    service.links.add(this);
  }

  request(name: string, payload: Json, answer: Answer): void {
    this.#pending.add(answer);
    const settle: Answer = (error, ack) => {
      this.#pending.delete(answer);
      answer(error, ack);
    };
    this.#run(() => {
      const { refusal } = this.#service;
      if (refusal) return () => settle(refusal);
      const ack = this.#service.answer(name, structuredClone(payload));
      if (name === 'room:join') this.#isJoined = true;
      return () => settle(undefined, structuredClone(ack));
    });
  }

  receive(event: Json): void {
    if (!this.#isJoined) return;
    this.#deliver(() => {
      for (const part of this.#tab.parts) part.onEvent(event.name, structuredClone(event.payload) as never);
    });
  }

  end(): void {
    this.#hasEnded = true;
    this.#service.links.delete(this);
  }

  /** Answers the pending requests as a link does that has lost its connection. */
  lose(): void {
    this.end();
    for (const answer of this.#pending) answer(new ChatClientError('UNREACHABLE', 'The connection was lost'));
  }

  /** The request reaches the service in the next task, and its answer is queued behind earlier events. */
  #run(request: () => () => void): void {
    void setImmediate().then(() => {
      if (this.#hasEnded) return;
      this.#deliver(request());
    });
  }

  #deliver(deliver: () => void): void {
    this.#last = this.#last.then(async () => {
      await setImmediate();
      await this.#tab.thawed;
      if (!this.#hasEnded) deliver();
    });
  }
}

/** Delegates to a storage that several tabs share. `fail` may throw before a call. */
export class SharedStorage implements Storage {
  readonly name: string | undefined;
  readonly #shared: Storage;
  fail: (call: 'open' | 'write' | 'clear', ops: readonly StorageOp[]) => unknown = () => {};
  calls = 0;

  constructor(shared: Storage = new MemoryStorage()) {
    this.#shared = shared;
    this.name = shared.name;
  }

  async open(user: string, onRecords: Parameters<Storage['open']>[1] = () => {}): Promise<readonly StoredRecord[]> {
    await this.#call('open', []);
    return structuredClone(await this.#shared.open(user, onRecords));
  }

  async write(ops: readonly StorageOp[], user: string): Promise<void> {
    await this.#call('write', ops);
    return this.#shared.write(structuredClone(ops), user);
  }

  async clear(user: string): Promise<void> {
    await this.#call('clear', []);
    return this.#shared.clear(user);
  }

  async #call(call: 'open' | 'write' | 'clear', ops: readonly StorageOp[]): Promise<void> {
    this.calls++;
    await setImmediate();
    await this.fail(call, ops);
  }
}

/** The locks and channels of the tabs that exist now. */
const locks = new Map<string, Tab | undefined>();
const channels = new Set<FakeChannel>();
let current: Tab | undefined;

class FakeChannel {
  readonly tab = current;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  isClosed = false;

  constructor(name: string) {
    this.name = name;
    channels.add(this);
  }

  readonly name: string;

  postMessage(data: unknown): void {
    // A tab that has crashed cannot say so.
    if (!channels.has(this) && (data as { type: string }).type === 'ended') return;
    for (const channel of channels)
      if (channel !== this && channel.name === this.name)
        void setImmediate(structuredClone(data)).then(async (copy) => {
          await channel.tab?.thawed;
          if (channels.has(channel)) channel.onmessage?.({ data: copy });
        });
  }

  close(): void {
    channels.delete(this);
  }
}

const fakeLocks = {
  request: async (name: string, callback: () => Promise<void>) => {
    locks.set(name, current);
    await callback();
    locks.delete(name);
  },
  query: async () => {
    await setImmediate();
    return { held: [...locks.keys()].map((name) => ({ name })) };
  },
};

/** Replaces what browsers offer to tabs. Returns the function that restores it. */
export function installFakeTabs({ hasLocks = true, hasChannels = true } = {}): () => void {
  const names = ['navigator', 'BroadcastChannel'] as const;
  const before = names.map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)!] as const);
  const define = (name: string, value: unknown) =>
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  define('navigator', hasLocks ? { locks: fakeLocks } : {});
  define('BroadcastChannel', hasChannels ? FakeChannel : undefined);
  return () => {
    for (const [name, descriptor] of before) Object.defineProperty(globalThis, name, descriptor);
    locks.clear();
    channels.clear();
  };
}

/** A client with its storage, in place of a tab of the browser. */
export class Tab extends Emitter<{ storage: StorageState; error: ChatClientError }> {
  readonly parts = new Set<ClientPart>();
  readonly rooms = new Map<string, Room>();
  readonly states: StorageState[] = [];
  readonly connection: Json;
  readonly engine: Offline;
  readonly #service: FakeService;
  readonly #storage: Storage;
  /** What the page does when it is hidden. */
  hide = () => {};
  isFrozen = false;
  #hasCrashed = false;
  state = 'connecting';
  /** Resolves when the tab is not frozen. */
  thawed: Promise<void> = Promise.resolve();
  thaw = () => {};

  constructor(
    service: FakeService,
    storage: Storage,
    { maxSize = 1e9, user = me }: OfflineOptions & { user?: string } = {},
  ) {
    super();
    this.#service = service;
    this.#storage = storage;
    const limits = readLimits({ url: '', token: () => '', timeouts: { backoffMs: 1 } });
    this.connection = { limits, state: 'connecting', link: undefined, claims: { user } };
    this.on('storage', (state) => this.states.push(state));
    current = this;
    const page = globalThis as Json;
    page.addEventListener = (_event: 'pagehide', listener: () => void) => {
      this.hide = listener;
    };
    this.engine = new Offline(this as Json, { storage: this.#createStorage(), user, maxSize });
    delete page.addEventListener;
    current = undefined;
  }

  /** The storage, for a page that writes nothing while it is frozen. */
  #createStorage(): Storage {
    const storage = this.#storage;
    if (!(storage instanceof SharedStorage)) return storage;
    const write: Storage['write'] = async (...args) => {
      await this.thawed;
      if (this.#hasCrashed) throw new Error('The tab has crashed');
      return storage.write(...args);
    };
    const { name } = storage;
    return { name, open: (...args) => storage.open(...args), clear: (user) => storage.clear(user), write };
  }

  attach(part: ClientPart): () => void {
    this.parts.add(part);
    this.engine?.adopt(part);
    return () => this.parts.delete(part);
  }

  room = (ref: number | string): Room => {
    let room = this.rooms.get(String(ref));
    if (!room) {
      room = new Room(this.connection as never, ref, { onLeft() {}, onOwnState() {} });
      this.rooms.set(String(ref), room);
      this.attach(room);
    }
    return room;
  };

  inbox(): ClientInbox {
    return new ClientInbox(this as Json, 50);
  }

  /** Opens the room, and waits until what is stored is shown. */
  async open(ref: number | string = 7): Promise<Room> {
    const room = this.room(ref);
    room.rejoin();
    await this.engine.opened;
    return room;
  }

  connect(): void {
    this.disconnect();
    this.connection.link = new FakeLink(this.#service, this);
    this.connection.state = this.state = 'connected';
    for (const part of [...this.parts]) part.onConnect();
  }

  disconnect(): void {
    const { link } = this.connection;
    if (!link) return;
    this.connection.link = undefined;
    this.connection.state = this.state = 'connecting';
    for (const part of [...this.parts]) part.onDisconnect();
    link.lose();
  }

  freeze(): void {
    // What already waits for the tab must continue when it is thawed.
    if (this.isFrozen) return;
    this.isFrozen = true;
    this.thawed = new Promise((resolve) => {
      this.thaw = () => {
        this.isFrozen = false;
        resolve();
      };
    });
  }

  /** The tab is gone, without a chance to do anything. */
  crash(): void {
    this.#hasCrashed = true;
    this.connection.link?.end();
    for (const channel of channels) if (channel.tab === this) channels.delete(channel);
    for (const [name, tab] of locks) if (tab === this) locks.delete(name);
    // A dead page collects nothing more, and its timers end.
    this.engine.state = 'memory';
    this.engine.close();
    this.thaw();
  }

  close = (): void => {
    this.disconnect();
    this.connection.state = this.state = 'closed';
    for (const part of [...this.parts]) part.close();
  };

  contents(): string[] {
    return this.room(7).messages.map(({ content }) => content);
  }

  /** Waits until the room has what the service has, and until that is stored. */
  async caughtUp(): Promise<void> {
    const room = this.room(7);
    await waitUntil('the room is up to date', () => room.state === 'joined' && room.rev === this.#service.rev);
    await this.stored();
  }

  /** Stores everything that has changed until now, as a page does that is hidden, and waits until it is stored. */
  async stored(): Promise<void> {
    let calls: number | undefined;
    for (let quiet = 0; quiet < 20; quiet++) {
      this.hide();
      await setImmediate();
      const present = this.#storage instanceof SharedStorage ? this.#storage.calls : 0;
      if (present !== calls) quiet = 0;
      calls = present;
    }
  }
}

/** What the next tab would show of room 7 before it is connected. */
export async function readStored(storage: Storage): Promise<{ messages: Json[]; hasOlder: boolean; rev: number }> {
  const tab = new Tab(new FakeService(), storage);
  const room = await tab.open();
  const { messages, hasOlder, rev } = room;
  tab.crash();
  return { messages: structuredClone(messages) as Json[], hasOlder, rev };
}

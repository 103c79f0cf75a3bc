import type { Client, StorageState } from './api.ts';
import type { ClientInbox } from './client-inbox.ts';
import type { ChatClientError } from './errors.ts';
import type { ClientHost, ClientPart } from './host.ts';
import { MemoryStorage } from './memory-storage.ts';
import type { Room } from './room.ts';
import { Records, type Storage, type StorageOp } from './storage-records.ts';
import { StoredInbox } from './stored-inbox.ts';
import { deleteOutbox, listOutboxes, readOutbox, restoreMessage, StoredOutbox, sortOutbox } from './stored-outbox.ts';
import { roomGroup, StoredRoom } from './stored-room.ts';
import { type TabMessage, Tabs } from './tabs.ts';

type OfflineHost = ClientHost &
  Pick<Client, 'room' | 'state' | 'on' | 'close'> & { emit(event: 'storage', state: StorageState): void };

interface Settings {
  storage: Storage;
  user: string;
  maxSize: number;
}

/** The states in the last table of STATES.md. */
export type OfflineState = 'opening' | 'closed' | StorageState;

/** Operations of one transaction. */
interface Job {
  ops: StorageOp[];
  /** The group that must not be deleted to make room. */
  group?: string | undefined;
  /** Whether it is about unsent messages. They are written even if `maxSize` is reached. */
  isOutbox?: boolean;
  onStored?(): void;
  onFailed(): void;
}

/** How long opening or clearing the storage may take. */
const timeoutMs = 2_000;
/** Changes other than those of unsent messages are written together. */
const writeDelayMs = 100;

/** Declared here, because the project compiles without the types of the DOM. */
const page = globalThis as {
  addEventListener?(event: 'pagehide', listener: () => void): void;
  removeEventListener?(event: 'pagehide', listener: () => void): void;
};

/**
 * Restores the parts of a client, and stores what changes. Nothing waits for the storage, except for the first connection
 * and for at most 2 s.
 */
export class Offline implements ClientPart {
  readonly opened: Promise<void>;
  state: OfflineState = 'opening';
  readonly #host: OfflineHost;
  readonly #settings: Settings;
  /** Whether stored messages survive a restart. */
  readonly #isDurable: boolean;
  /** What is stored, as far as this tab knows. */
  readonly #records = new Records();
  readonly #tabs: Tabs;
  readonly #outbox: StoredOutbox;
  readonly #rooms = new Map<Room, StoredRoom>();
  readonly #inboxes = new Map<ClientInbox, StoredInbox>();
  /** What has changed since it was written. */
  readonly #dirty = new Set<Room | ClientInbox>();
  /** Operations that belong to no part. */
  #others: StorageOp[] = [];
  /** The tabs whose messages are here, but still in their stored outboxes too. */
  readonly #inherited = new Set<string>();
  #jobs: Job[] = [];
  /** Settles when all jobs are done. */
  #writing: Promise<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isUrgent = false;
  /** After the token was revoked, nothing is stored before the next connection. */
  #isSuspended = false;
  #wasRevoked = false;
  readonly #onHide = () => this.#flush();

  constructor(host: OfflineHost, settings: Settings) {
    this.#host = host;
    this.#settings = settings;
    this.#isDurable = !(settings.storage instanceof MemoryStorage);
    this.#tabs = new Tabs(settings.storage.name, settings.user, {
      onMessage: (message) => this.#handleTab(message),
      onCheck: () => void this.#check(),
    });
    this.#outbox = new StoredOutbox(this.#tabs.id);
    host.on('error', (error) => this.#handleError(error));
    page.addEventListener?.('pagehide', this.#onHide);
    host.attach(this);
    this.opened = this.#open();
  }

  adopt(part: object): void {
    if ('queuedMessages' in part) this.#adopt(this.#rooms, part as Room, new StoredRoom(part as Room, this.#records));
    else if ('unreadRooms' in part)
      this.#adopt(this.#inboxes, part as ClientInbox, new StoredInbox(part as ClientInbox, this.#records));
  }

  async clear(): Promise<void> {
    const { storage, user } = this.#settings;
    this.#stop();
    this.#jobs = [];
    await this.#writing;
    this.#tabs.notify({ type: 'logout' });
    await inTime(() => storage.clear(user)).finally(() => this.#tabs.end());
  }

  onConnect(): void {
    this.#wasRevoked = false;
    if (!this.#isSuspended) return;
    this.#isSuspended = false;
    this.#touchAll();
  }

  onDisconnect(): void {}

  onEvent(name: string, payload: never): void {
    if (name !== 'inbox:removed') return;
    this.#others.push({ delete: roomGroup((payload as { room_id: number }).room_id) });
    this.#schedule();
  }

  /** What has changed until now is still written. */
  close(): void {
    if (this.state === 'closed') return;
    if (this.#isStoring) this.#collect();
    this.#stop();
    this.#drain();
    void Promise.resolve(this.#writing).then(() => this.#tabs.end());
  }

  get #isStoring(): boolean {
    return (this.state === 'ok' || this.state === 'full') && !this.#isSuspended;
  }

  async #open(): Promise<void> {
    const { storage, user } = this.#settings;
    let dead: string[] = [];
    let state: OfflineState = 'ok';
    try {
      const records = await inTime(() => storage.open(user));
      this.#records.apply(records.map((put) => ({ put })));
      dead = await inTime(() => this.#findDead()).catch(() => []);
    } catch {
      state = 'memory';
    }
    // The client may have been closed in the meantime.
    if (this.state !== 'opening') return;
    this.#setState(state);
    if (state === 'memory') return;
    for (const stored of [...this.#rooms.values(), ...this.#inboxes.values()]) this.#restore(stored);
    for (const room of this.#takeOver(dead)) sortOutbox(room);
    // What was sent in the meantime.
    this.#touchAll();
    this.#tabs.start();
  }

  #adopt<P extends Room | ClientInbox, S extends StoredRoom | StoredInbox>(parts: Map<P, S>, part: P, stored: S): void {
    parts.set(part, stored);
    if (this.#isStoring) this.#restore(stored);
    part.onTouched = () => {
      stored.observe();
      this.#touch(part);
    };
    stored.observe();
  }

  #restore(stored: StoredRoom | StoredInbox): void {
    const damaged = stored.restore();
    if (damaged) this.#others.push({ delete: damaged });
  }

  #touch(part: Room | ClientInbox): void {
    if (!this.#isStoring) return;
    this.#dirty.add(part);
    this.#schedule(this.#isUnsent(part));
  }

  #touchAll(): void {
    for (const part of [...this.#rooms.keys(), ...this.#inboxes.keys()]) this.#touch(part);
  }

  #isUnsent = (part: Room | ClientInbox) => 'queuedMessages' in part && this.#outbox.isUsed(part);

  #schedule(isUrgent = false): void {
    if (!isUrgent) this.#timer ??= setTimeout(() => this.#flush(), writeDelayMs);
    else if (!this.#isUrgent) {
      this.#isUrgent = true;
      // Later, so that everything that the application does now is written together.
      void Promise.resolve().then(() => this.#flush());
    }
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#isUrgent = false;
    // `#drain` goes on with what has changed meanwhile.
    if (this.#writing || !this.#isStoring) return;
    this.#collect();
    this.#drain();
  }

  /** Makes the jobs, without waiting for anything, so that each of them writes one consistent state. */
  #collect(): void {
    const parts = [...this.#dirty];
    this.#dirty.clear();
    const others = this.#others.splice(0);
    const rooms = parts.filter((part) => 'queuedMessages' in part && this.#isUnsent(part)) as Room[];
    const unsent = rooms.map((room) => ({ room, ...this.#outbox.collect(room) }));
    this.#jobs.push({
      ops: [...others, ...unsent.flatMap(({ ops }) => ops)],
      isOutbox: true,
      onStored: () => {
        this.#inherited.clear();
        for (const { room, messages } of unsent)
          for (const queued of messages) {
            if (queued.saved || !this.#isDurable || !room.queue.has(queued)) continue;
            queued.saved = true;
            room.queue.restore(queued);
          }
      },
      onFailed: () => {
        for (const { room } of unsent) this.#outbox.forget(room);
      },
    });
    for (const part of parts) {
      const stored = this.#rooms.get(part as Room) ?? this.#inboxes.get(part as ClientInbox)!;
      const group = stored instanceof StoredRoom ? stored.group : undefined;
      this.#jobs.push({ ops: stored.collect(), group, onFailed: () => stored.forget() });
    }
  }

  #drain(): void {
    this.#writing ??= this.#runJobs().finally(() => {
      this.#writing = undefined;
      if (!this.#isStoring) return;
      if (this.#dirty.size > 0) this.#schedule([...this.#dirty].some(this.#isUnsent));
      if (this.#others.length > 0) this.#schedule();
    });
  }

  async #runJobs(): Promise<void> {
    for (let job = this.#jobs.shift(); job; job = this.#jobs.shift()) {
      if (await this.#write(job)) job.onStored?.();
      else job.onFailed();
    }
  }

  /** Returns whether it is stored. */
  async #write(job: Job): Promise<boolean> {
    const { maxSize } = this.#settings;
    for (;;) {
      const ops = this.#records.reduce(job.ops);
      if (ops.length === 0) return true;
      const isTooMuch = this.#records.size + this.#records.computeGrowth(ops) > maxSize;
      try {
        const oldest = isTooMuch ? this.#findOldest(job.group) : undefined;
        if (oldest) await this.#store([{ delete: oldest }]);
        else if (isTooMuch && !job.isOutbox) return this.#fail('full');
        else {
          await this.#store(ops);
          if (!job.isOutbox) this.#setState('ok');
          return true;
        }
      } catch (error) {
        const { name } = (error ?? {}) as Error;
        if (name !== 'QuotaExceededError') return this.#fail('memory');
        const oldest = this.#findOldest(job.group);
        if (!oldest) return this.#fail('full');
        try {
          await this.#store([{ delete: oldest }]);
        } catch {
          return this.#fail('full');
        }
      }
    }
  }

  async #store(ops: StorageOp[]): Promise<void> {
    const { storage, user } = this.#settings;
    await storage.write(ops, user);
    this.#apply(ops);
    this.#tabs.notify({ type: 'wrote', ops });
  }

  #fail(state: 'full' | 'memory'): false {
    this.#setState(state);
    if (state === 'memory') this.#jobs = [];
    return false;
  }

  #apply(ops: readonly StorageOp[]): void {
    this.#records.apply(ops);
    for (const op of ops)
      if ('delete' in op) for (const stored of this.#rooms.values()) if (stored.group === op.delete) stored.forget();
  }

  /** Returns the group of the room that has not changed for the longest time. */
  #findOldest(except: string | undefined): string | undefined {
    let oldest: { group: string; at: number } | undefined;
    for (const [group, records] of this.#records.groups) {
      if (!group.startsWith('room:') || group === except) continue;
      const at = Number(/"at":(\d+)}$/.exec(records.get(`${group}position`)?.value ?? '')?.[1] ?? 0);
      if (!oldest || at < oldest.at) oldest = { group, at };
    }
    return oldest?.group;
  }

  #setState(state: OfflineState): void {
    if (this.state === state || this.state === 'closed') return;
    this.state = state;
    if (state !== 'opening' && state !== 'closed') this.#host.emit('storage', this.#isDurable ? state : 'memory');
  }

  async #findDead(): Promise<string[]> {
    const tabs = listOutboxes(this.#records).filter((tab) => !this.#inherited.has(tab));
    return tabs.length > 0 ? this.#tabs.findDead(tabs, this.#records.list('tab/')) : [];
  }

  async #check(): Promise<void> {
    if (!this.#isStoring) return;
    if (this.#tabs.needsHeartbeat && listOutboxes(this.#records).includes(this.#tabs.id)) {
      const { id } = this.#tabs;
      this.#others.push({ put: { key: `tab/${id}`, version: Date.now(), value: JSON.stringify(id) } });
      this.#schedule();
    }
    const dead = await this.#findDead().catch(() => []);
    if (this.#isStoring) this.#takeOver(dead);
  }

  /**
   * Takes over what tabs that have ended could not send. Two tabs may do this at the same time: both then send the messages
   * under the same ids, and the service stores them once.
   */
  #takeOver(dead: readonly string[]): Set<Room> {
    const rooms = new Set<Room>();
    for (const tab of dead) {
      this.#inherited.add(tab);
      for (const saved of readOutbox(this.#records, tab)) {
        const room = this.#host.room(saved.ref) as Room;
        restoreMessage(room, saved);
        rooms.add(room);
      }
      this.#others.push(deleteOutbox(tab), { delete: `tab/${tab}` });
      this.#schedule();
    }
    return rooms;
  }

  #handleTab(message: TabMessage): void {
    if (this.state === 'closed') return;
    if (message.type === 'wrote') this.#apply(message.ops);
    else if (message.type === 'ended') this.#tabs.start();
    else if (message.type === 'logout') {
      const { storage, user } = this.#settings;
      this.#stop();
      this.#jobs = [];
      // What this tab was just writing may have been written after the other one had deleted everything.
      const cleared = this.#writing?.then(() => storage.clear(user)).catch(() => {});
      void Promise.resolve(cleared).then(() => this.#tabs.end());
      this.#host.close();
    } else if (this.state !== 'opening') {
      this.#forget();
      this.#isSuspended = this.#host.state !== 'connected';
      this.#touchAll();
    }
  }

  #handleError({ code }: ChatClientError): void {
    if (code === 'TOKEN_REVOKED') this.#wasRevoked = true;
    // While it is connecting, the client first asks for another token.
    const isRefused = this.#host.state === 'unauthorized' || code === 'NO_TOKEN';
    if (!this.#wasRevoked || !isRefused || this.state === 'closed' || this.#isSuspended) return;
    this.#isSuspended = true;
    this.#jobs = [];
    void this.#deleteAll();
  }

  async #deleteAll(): Promise<void> {
    const { storage, user } = this.#settings;
    await this.opened;
    await this.#writing;
    this.#forget();
    await inTime(() => storage.clear(user)).catch(() => this.#fail('memory'));
    this.#tabs.notify({ type: 'forget' });
  }

  #forget(): void {
    this.#records.groups.clear();
    this.#records.size = 0;
    for (const stored of [...this.#rooms.values(), ...this.#inboxes.values()]) stored.forget();
    for (const room of this.#rooms.keys()) this.#outbox.forget(room);
  }

  #stop(): void {
    this.state = 'closed';
    clearTimeout(this.#timer);
    this.#dirty.clear();
    page.removeEventListener?.('pagehide', this.#onHide);
  }
}

function inTime<T>(run: () => Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout>;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`The storage did not answer within ${timeoutMs} ms`)), timeoutMs);
  });
  // Inside a promise, so that a synchronous exception is handled like a rejection.
  return Promise.race([Promise.resolve().then(run), late]).finally(() => clearTimeout(timer));
}

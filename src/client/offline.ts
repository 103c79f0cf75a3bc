import type { Client, StorageState } from './api.ts';
import type { ClientInbox } from './client-inbox.ts';
import type { ChatClientError } from './errors.ts';
import type { ClientHost, ClientPart } from './host.ts';
import { MemoryStorage } from './memory-storage.ts';
import { isRoom, type Part, PendingWrites, type StoredPart } from './pending-writes.ts';
import type { Room } from './room.ts';
import { Records, type StorageOp, type StoredRecord } from './storage-records.ts';
import { type StorageSettings, StorageWriter } from './storage-writer.ts';
import { StoredInbox } from './stored-inbox.ts';
import { StoredOutbox, sortOutbox } from './stored-outbox.ts';
import { roomGroup, StoredRoom } from './stored-room.ts';
import { type TabMessage, Tabs } from './tabs.ts';
import { Takeover } from './takeover.ts';

type OfflineHost = ClientHost &
  Pick<Client, 'room' | 'state' | 'on' | 'close'> & { emit(event: 'storage', state: StorageState): void };

/** The states in the last table of STATES.md. */
export type OfflineState = 'opening' | 'closed' | StorageState;

/** How long clearing the storage may take, and how long it may return no records while it is being read. */
const timeoutMs = 2_000;

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
  /** Resolves when everything is read. */
  readonly #read: Promise<void>;
  state: OfflineState = 'opening';
  readonly #host: OfflineHost;
  readonly #settings: StorageSettings;
  /** Whether stored messages survive a restart. */
  readonly #isDurable: boolean;
  /** What is stored, as far as this tab knows. */
  readonly #records = new Records();
  readonly #tabs: Tabs;
  readonly #outbox: StoredOutbox;
  readonly #parts = new Map<Part, StoredPart>();
  readonly #takeover: Takeover;
  readonly #writer: StorageWriter;
  readonly #pending: PendingWrites;
  /** After the token was revoked, nothing is stored before the next connection. */
  #isSuspended = false;
  #wasRevoked = false;
  readonly #onHide = () => this.#pending.flush();

  constructor(host: OfflineHost, settings: StorageSettings) {
    this.#host = host;
    this.#settings = settings;
    this.#isDurable = !(settings.storage instanceof MemoryStorage);
    this.#tabs = new Tabs(settings.storage.name, settings.user, {
      onMessage: (message) => this.#handleTab(message),
      onCheck: () => void this.#check(),
    });
    this.#outbox = new StoredOutbox(this.#tabs.id, this.#isDurable);
    this.#takeover = new Takeover(this.#records, this.#tabs, {
      room: (ref) => host.room(ref) as Room,
      write: (...ops) => this.#pending.add(...ops),
    });
    this.#writer = new StorageWriter(settings, this.#records, {
      onWritten: (ops) => {
        this.#apply(ops);
        this.#tabs.notify({ type: 'wrote', ops });
      },
      onState: (state) => this.#setState(state),
    });
    this.#pending = new PendingWrites({
      ...{ parts: this.#parts, outbox: this.#outbox, writer: this.#writer },
      isStoring: () => this.#isStoring,
      onOutboxStored: () => this.#takeover.complete(),
    });
    host.on('error', (error) => this.#handleError(error));
    page.addEventListener?.('pagehide', this.#onHide);
    host.attach(this);
    this.#read = this.#open();
    // The client connects even if there is more to read.
    this.opened = inTime(() => this.#read).catch(() => {});
  }

  adopt(part: object): void {
    if (isRoom(part)) this.#adopt(part, new StoredRoom(part, this.#records));
    else if ('unreadRooms' in part)
      this.#adopt(part as ClientInbox, new StoredInbox(part as ClientInbox, this.#records));
  }

  async clear(): Promise<void> {
    const { storage, user } = this.#settings;
    this.#stop();
    await this.#writer.cancel();
    this.#tabs.notify({ type: 'logout' });
    await inTime(() => storage.clear(user)).finally(() => this.#tabs.end());
  }

  onConnect(): void {
    this.#wasRevoked = false;
    if (!this.#isSuspended) return;
    this.#isSuspended = false;
    this.#pending.touchAll();
  }

  onDisconnect(): void {}

  onEvent(name: string, payload: never): void {
    if (name !== 'inbox:removed') return;
    this.#pending.add({ delete: roomGroup((payload as { room_id: number }).room_id) });
  }

  /** What has changed until now is still written. */
  close(): void {
    if (this.state === 'closed') return;
    void this.#pending.close().then(() => this.#tabs.end());
    this.#stop();
  }

  get #isStoring(): boolean {
    return (this.state === 'ok' || this.state === 'full') && !this.#isSuspended;
  }

  async #open(): Promise<void> {
    const { storage, user } = this.#settings;
    let dead: string[] = [];
    let state: OfflineState = 'ok';
    try {
      const load = (records: readonly StoredRecord[]) => this.#load(records);
      load(
        await inTime((restart) =>
          storage.open(user, (records) => {
            restart();
            load(records);
          }),
        ),
      );
      dead = await inTime(() => this.#takeover.findDead()).catch(() => []);
    } catch {
      state = 'memory';
    }
    // The client may have been closed in the meantime.
    if (this.state !== 'opening') return;
    this.#setState(state);
    if (state === 'memory') return;
    for (const room of this.#takeover.inherit(dead)) sortOutbox(room);
    // What was sent in the meantime.
    this.#pending.touchAll();
    this.#tabs.start();
  }

  /** Shows what is stored, as far as it has been read. */
  #load(records: readonly StoredRecord[]): void {
    if (this.state !== 'opening') return;
    this.#records.apply(records.map((put) => ({ put })));
    for (const stored of this.#parts.values()) this.#restore(stored);
  }

  #adopt(part: Part, stored: StoredPart): void {
    this.#parts.set(part, stored);
    if (this.#isStoring || this.state === 'opening') this.#restore(stored);
    part.onTouched = () => {
      stored.observe();
      this.#pending.touch(part);
    };
    stored.observe();
  }

  #restore(stored: StoredPart): void {
    const damaged = stored.restore();
    if (damaged) this.#pending.add({ delete: damaged });
  }

  #apply(ops: readonly StorageOp[]): void {
    this.#records.apply(ops);
    for (const op of ops)
      if ('delete' in op) for (const stored of this.#parts.values()) if (stored.group === op.delete) stored.forget();
  }

  #setState(state: OfflineState): void {
    if (this.state === state || this.state === 'closed') return;
    this.state = state;
    if (state !== 'opening' && state !== 'closed') this.#host.emit('storage', this.#isDurable ? state : 'memory');
  }

  async #check(): Promise<void> {
    if (!this.#isStoring) return;
    this.#takeover.beat();
    const dead = await this.#takeover.findDead().catch(() => []);
    if (this.#isStoring) this.#takeover.inherit(dead);
  }

  #handleTab(message: TabMessage): void {
    if (this.state === 'closed') return;
    if (message.type === 'wrote') this.#apply(message.ops);
    else if (message.type === 'ended') this.#tabs.start();
    else if (message.type === 'logout') {
      const { storage, user } = this.#settings;
      this.#stop();
      // The write of this tab may have followed the deletion by the other tab.
      const cleared = this.#writer
        .cancel()
        ?.then(() => storage.clear(user))
        .catch(() => {});
      void Promise.resolve(cleared).then(() => this.#tabs.end());
      this.#host.close();
    } else if (this.state !== 'opening') {
      this.#forget();
      this.#isSuspended = this.#host.state !== 'connected';
      this.#pending.touchAll();
    }
  }

  #handleError({ code }: ChatClientError): void {
    if (code === 'TOKEN_REVOKED') this.#wasRevoked = true;
    // While it is connecting, the client first asks for another token.
    const isRefused = this.#host.state === 'unauthorized' || code === 'NO_TOKEN';
    if (!this.#wasRevoked || !isRefused || this.state === 'closed' || this.#isSuspended) return;
    this.#isSuspended = true;
    void this.#writer.cancel();
    void this.#deleteAll();
  }

  async #deleteAll(): Promise<void> {
    const { storage, user } = this.#settings;
    await this.#read;
    await this.#writer.running;
    this.#forget();
    await inTime(() => storage.clear(user)).catch(() => this.#setState('memory'));
    this.#tabs.notify({ type: 'forget' });
  }

  #forget(): void {
    this.#records.groups.clear();
    this.#records.size = 0;
    for (const [part, stored] of this.#parts) {
      stored.forget();
      if (isRoom(part)) this.#outbox.forget(part);
    }
  }

  #stop(): void {
    this.state = 'closed';
    this.#pending.stop();
    page.removeEventListener?.('pagehide', this.#onHide);
  }
}

/** Rejects if it takes more than 2 s, from the beginning or from the last call of `restart`. */
function inTime<T>(run: (restart: () => void) => Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout>;
  return new Promise<T>((resolve, reject) => {
    const restart = () => {
      clearTimeout(timer);
      timer = setTimeout(() => reject(new Error(`The storage did not answer within ${timeoutMs} ms`)), timeoutMs);
    };
    restart();
    // Inside a promise, so that a synchronous exception is handled like a rejection.
    Promise.resolve(restart).then(run).then(resolve, reject);
  }).finally(() => clearTimeout(timer));
}

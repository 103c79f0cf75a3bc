import { createMessageId } from './message.ts';
import type { StorageOp, StoredRecord } from './storage-records.ts';

/** The messages between tabs with the same user. */
export type TabMessage =
  | { type: 'wrote'; ops: readonly StorageOp[] }
  /** The tab has ended, so its messages can be taken over. */
  | { type: 'ended' }
  | { type: 'logout' }
  /** The stored records were deleted, and may be stored again by clients that are connected. */
  | { type: 'forget' };

/** Parts of browsers. Declared here, because the project compiles without the types of the DOM. */
interface Locks {
  request(name: string, callback: () => Promise<void>): Promise<void>;
  query(): Promise<{ held?: { name?: string }[] }>;
}
interface Channel {
  onmessage: ((event: { data: TabMessage }) => void) | null;
  postMessage(message: TabMessage): void;
  close(): void;
  /** In Node.js, so that the channel does not keep the process running. */
  unref?(): void;
}
interface Globals {
  navigator?: { locks?: Locks };
  BroadcastChannel?: new (name: string) => Channel;
}

const heartbeatMs = 5_000;
/** Without Web Locks, a tab that has written no heartbeat for this long counts as dead. */
const deadAfterMs = 15_000;
/** When to look for dead tabs. After a reload, the browser may still be releasing the lock of the previous page. */
const checkDelaysMs = [250, 1_000, heartbeatMs];

/**
 * The tabs that share the storage of a user. A tab holds a lock as long as it lives, and only to show that: a frozen tab
 * keeps its locks, so no tab ever waits for a lock.
 */
export class Tabs {
  readonly id = createMessageId();
  readonly #locks: Locks | undefined;
  readonly #channel: Channel | undefined;
  readonly #prefix: string;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #releaseLock: (() => void) | undefined;
  #hasEnded = false;
  readonly #onCheck: () => void;

  /** `name` is the name of the storage that the tabs share. */
  constructor(
    name: string | undefined,
    user: string,
    events: { onMessage(message: TabMessage): void; onCheck(): void },
  ) {
    const { navigator, BroadcastChannel } = globalThis as unknown as Globals;
    const scope = ['nano', ...(name ? [name] : []), user].join(':');
    this.#prefix = `${scope}:`;
    this.#onCheck = events.onCheck;
    this.#locks = navigator?.locks;
    const released = new Promise<void>((resolve) => {
      this.#releaseLock = resolve;
    });
    this.#locks?.request(this.#prefix + this.id, () => released).catch(() => {});
    if (!BroadcastChannel) return;
    this.#channel = new BroadcastChannel(scope);
    this.#channel.unref?.();
    this.#channel.onmessage = ({ data }) => events.onMessage(data);
  }

  /** Whether the tab must write heartbeats, so that the others know that it is alive. */
  get needsHeartbeat(): boolean {
    return !this.#locks && this.#channel !== undefined;
  }

  /** Calls `onCheck` from now on, soon and then regularly. */
  start(): void {
    this.#wait(0);
  }

  /** Returns those of the tabs that have ended. `heartbeats` are the records of the tabs that need them. */
  async findDead(tabs: readonly string[], heartbeats: readonly StoredRecord[]): Promise<string[]> {
    if (this.#locks) {
      const { held = [] } = await this.#locks.query();
      const alive = new Set(held.map(({ name }) => name));
      return tabs.filter((tab) => tab !== this.id && !alive.has(this.#prefix + tab));
    }
    // A platform without tabs, such as React Native.
    const since = this.#channel ? Date.now() - deadAfterMs : Number.POSITIVE_INFINITY;
    const alive = new Set(heartbeats.filter(({ version }) => version > since).map(({ value }) => JSON.parse(value)));
    return tabs.filter((tab) => tab !== this.id && !alive.has(tab));
  }

  notify(message: TabMessage): void {
    if (!this.#hasEnded) this.#channel?.postMessage(message);
  }

  /** Call this when everything is written. */
  end(): void {
    if (this.#hasEnded) return;
    clearTimeout(this.#timer);
    this.#releaseLock!();
    this.notify({ type: 'ended' });
    this.#hasEnded = true;
    this.#channel?.close();
  }

  #wait(checks: number): void {
    clearTimeout(this.#timer);
    if (this.#hasEnded) return;
    this.#timer = setTimeout(
      () => {
        this.#onCheck();
        this.#wait(checks + 1);
      },
      checkDelaysMs[Math.min(checks, checkDelaysMs.length - 1)],
    );
    // In Node.js, so that the timer does not keep the process running.
    (this.#timer as { unref?(): void }).unref?.();
  }
}

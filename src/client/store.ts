import { Emitter } from './emitter.ts';

/** How long what the application shows stays loaded after its last listener: a view may soon be shown again. */
const lingerMs = 5_000;

/**
 * An emitter with a snapshot of everything that an application can see. `start` is called when the first listener has been
 * added, and `stop` some time after the last listener has been removed.
 */
export abstract class Store<Events extends { change: undefined }, Snapshot extends object> extends Emitter<Events> {
  /** Called after each change, even if the snapshot does not show it. */
  onTouched?: () => void;
  #snapshot: Snapshot | undefined;
  #isCurrent = false;
  #isChanging = false;
  #holds = 0;
  #isStarted = false;
  #isStarting = false;
  #lingering: ReturnType<typeof setTimeout> | undefined;

  protected abstract createSnapshot(): Snapshot;

  /** Called in the microtask after the first listener. */
  protected start?(): void;

  /** Called 5 s after the last listener. */
  protected stop?(): void;

  get snapshot(): Snapshot {
    if (!this.#isCurrent) {
      const next = this.createSnapshot();
      const before = this.#snapshot;
      const isSame = before && Object.entries(next).every(([name, value]) => value === before[name as keyof Snapshot]);
      if (!isSame) this.#snapshot = Object.freeze(next);
      this.#isCurrent = true;
    }
    return this.#snapshot!;
  }

  override on<E extends keyof Events>(event: E, callback: (payload: Events[E]) => void): () => void {
    const remove = super.on(event, callback);
    const release = this.hold();
    return () => {
      remove();
      release();
    };
  }

  /** Counts like a listener until the returned function is called. */
  hold(): () => void {
    let isHeld = true;
    this.#holds++;
    clearTimeout(this.#lingering);
    // Later, so that one join asks for everything that the application listens to.
    if (this.#holds === 1 && !this.#isStarted) {
      this.#isStarting = true;
      void Promise.resolve().then(() => {
        if (this.#holds > 0 && this.#isStarting) this.startNow();
      });
    }
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#holds--;
      this.#linger();
    };
  }

  /** Starts without a listener, for at least 5 s. */
  protected startNow(): void {
    this.#isStarted = true;
    this.#isStarting = false;
    this.start?.();
    this.#linger();
  }

  /** Counts as stopped from now on. The next first listener starts again. */
  forget(): void {
    clearTimeout(this.#lingering);
    this.#isStarted = this.#isStarting = false;
  }

  /** Call this after a change. Emits `change` in the next microtask, once, if the snapshot is a new object by then. */
  changed(): void {
    this.#isCurrent = false;
    this.onTouched?.();
    if (this.#isChanging) return;
    this.#isChanging = true;
    const before = this.#snapshot;
    void Promise.resolve().then(() => {
      this.#isChanging = false;
      if (!before || this.snapshot !== before) this.emit('change', undefined as never);
    });
  }

  #linger(): void {
    clearTimeout(this.#lingering);
    if (this.#holds > 0 || !this.#isStarted || !this.stop) return;
    this.#lingering = setTimeout(() => {
      this.#isStarted = false;
      this.stop?.();
    }, lingerMs);
  }
}

/** Returns `before` if it is equal to `next`, so that what has not changed stays the same object. */
export function keepEqual<T>(before: T, next: T): T {
  return JSON.stringify(before) === JSON.stringify(next) ? before : next;
}

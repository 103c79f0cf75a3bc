/** More of one event are mostly a view that listens each time it is drawn, and never stops. */
const listenerWarningCount = 100;

/** Who listens to what. A listener that throws is reported, and stops nobody else. */
export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<{ callback(what: never): void }>>();
  readonly #scheduled = new Set<keyof Events>();

  /** Returns how to stop listening. */
  on<E extends keyof Events>(event: E, callback: (what: Events[E]) => void): () => void {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners);
    // An object of its own, so that a function may listen twice.
    const listener = { callback };
    listeners.add(listener);
    if (listeners.size === listenerWarningCount)
      console.warn(`${listenerWarningCount} listeners to "${String(event)}": do they stop?`);
    return () => void listeners.delete(listener);
  }

  emit<E extends keyof Events>(event: E, payload: Events[E]): void {
    for (const { callback } of [...(this.#listeners.get(event) ?? [])]) {
      try {
        callback(payload as never);
      } catch (error) {
        console.error(error);
      }
    }
  }

  /** Once for all that happens in the same turn. */
  emitDeferred<E extends keyof Events>(event: E, payload: Events[E]): void {
    if (this.#scheduled.has(event)) return;
    this.#scheduled.add(event);
    void Promise.resolve().then(() => {
      this.#scheduled.delete(event);
      this.emit(event, payload);
    });
  }
}

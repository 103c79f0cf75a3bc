/** More of one event are mostly a view that listens each time it is drawn, and never stops. */
const manyListeners = 100;

/** Who listens to what. A listener that throws is reported, and stops nobody else. */
export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<{ hear(what: never): void }>>();
  readonly #soon = new Set<keyof Events>();

  /** Returns how to stop listening. */
  on<E extends keyof Events>(event: E, hear: (what: Events[E]) => void): () => void {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners);
    // An object of its own, so that a function may listen twice.
    const listener = { hear };
    listeners.add(listener);
    if (listeners.size === manyListeners)
      console.warn(`${manyListeners} listeners to "${String(event)}": do they stop?`);
    return () => void listeners.delete(listener);
  }

  emit<E extends keyof Events>(event: E, what: Events[E]): void {
    for (const { hear } of [...(this.#listeners.get(event) ?? [])]) {
      try {
        hear(what as never);
      } catch (error) {
        console.error(error);
      }
    }
  }

  /** Once for all that happens in the same turn. */
  emitSoon<E extends keyof Events>(event: E, what: Events[E]): void {
    if (this.#soon.has(event)) return;
    this.#soon.add(event);
    void Promise.resolve().then(() => {
      this.#soon.delete(event);
      this.emit(event, what);
    });
  }
}

/**
 * If an event has this many listeners, a warning is logged. It is probably a view that adds a listener at each render
 * and never removes it.
 */
const listenerWarningCount = 100;

/**
 * Calls the listeners of each event. If a listener throws, the exception is logged to the console, and the remaining
 * listeners are still called.
 */
export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<{ callback(payload: never): void }>>();

  /** Returns the function that removes the listener. */
  on<E extends keyof Events>(event: E, callback: (payload: Events[E]) => void): () => void {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners);
    // Each callback is wrapped in an object, so that the same function can be added twice.
    const listener = { callback };
    listeners.add(listener);
    if (listeners.size === listenerWarningCount)
      console.warn(
        `${listenerWarningCount} listeners for "${String(event)}": call the function that on() returns to remove them`,
      );
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
}

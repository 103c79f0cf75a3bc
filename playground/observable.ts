/** An object whose changes can be watched. */
export abstract class Observable {
  readonly #watchers = new Set<() => void>();

  /** Returns the function that removes the watcher. */
  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  protected changed(): void {
    for (const watcher of this.#watchers) watcher();
  }
}

/** Something whose changes others watch. */
export abstract class Changing {
  readonly #watchers = new Set<() => void>();

  /** Returns how to stop watching. */
  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  protected changed(): void {
    for (const watcher of this.#watchers) watcher();
  }
}

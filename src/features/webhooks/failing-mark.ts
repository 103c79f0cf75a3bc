/**
 * The record in the database that an endpoint fails, for administrators. An answer after another answer writes nothing.
 */
export class FailingMark {
  readonly #write: (error: string | null) => void;
  #mayBeSet = false;

  constructor(write: (error: string | null) => void) {
    this.#write = write;
  }

  /** Another node may have set the mark. */
  expect(): void {
    this.#mayBeSet = true;
  }

  set(error: string): void {
    this.#mayBeSet = true;
    this.#write(error);
  }

  clear(): void {
    if (!this.#mayBeSet) return;
    this.#mayBeSet = false;
    this.#write(null);
  }
}

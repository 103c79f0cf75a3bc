/**
 * What the database says about an endpoint that fails, so that administrators see it. Only changes are written: most answers
 * follow another answer.
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

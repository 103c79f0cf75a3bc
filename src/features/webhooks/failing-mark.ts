/**
 * Records in the database, for administrators, that an endpoint is failing. Repeated successes write nothing.
 */
export class FailingMark {
  readonly #write: (error: string | null) => void;
  #mayBeSet = false;

  constructor(write: (error: string | null) => void) {
    this.#write = write;
  }

  /** Call this if another node may have set the mark: the next success then clears it. */
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

/** Longer than a busy event loop keeps a beat waiting, and short enough that a dead connection is not kept for minutes. */
const usual = { beatMs: 1_000, silenceMs: 5_000 };

interface Listener {
  /** Sends a beat to ourselves, the long way round. */
  beat: () => void;
  /** Nothing came back for a while: called again every so often until something does. */
  silent: () => void;
}

/** Notices that what we publish does not come back, also where the connection looks alive. */
export class Heartbeat {
  readonly #timer: NodeJS.Timeout;
  #lastHeard = performance.now();
  #lastTick = performance.now();

  constructor({ beat, silent }: Listener, { beatMs, silenceMs } = usual) {
    this.#timer = setInterval(() => {
      const now = performance.now();
      // Who was late himself cannot tell: what came meanwhile has not been read yet.
      const wasLate = now - this.#lastTick > 2 * beatMs;
      this.#lastTick = now;
      if (!wasLate && now - this.#lastHeard > silenceMs) {
        this.#lastHeard = now;
        silent();
      }
      beat();
    }, beatMs).unref();
  }

  hear(): void {
    this.#lastHeard = performance.now();
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

/** Longer than a busy event loop keeps a beat waiting, and short enough that a dead connection is not kept for minutes. */
const defaultTimeouts = { beatMs: 1_000, silenceMs: 5_000 };

interface HeartbeatEvents {
  /** Sends a beat to ourselves, the long way round. */
  sendBeat: () => void;
  /** Nothing came back for a while: called again every so often until something does. */
  onSilent: () => void;
}

/** Notices that what we publish does not come back, also where the connection looks alive. */
export class Heartbeat {
  readonly #timer: NodeJS.Timeout;
  #lastReceivedAt = performance.now();
  #lastTickAt = performance.now();

  constructor({ sendBeat, onSilent }: HeartbeatEvents, { beatMs, silenceMs } = defaultTimeouts) {
    this.#timer = setInterval(() => {
      const now = performance.now();
      // Who was late himself cannot tell: what came meanwhile has not been read yet.
      const wasLate = now - this.#lastTickAt > 2 * beatMs;
      this.#lastTickAt = now;
      if (!wasLate && now - this.#lastReceivedAt > silenceMs) {
        this.#lastReceivedAt = now;
        onSilent();
      }
      sendBeat();
    }, beatMs).unref();
  }

  handleBeat(): void {
    this.#lastReceivedAt = performance.now();
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

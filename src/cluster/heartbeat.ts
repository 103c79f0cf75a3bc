/**
 * `silenceMs` must be long enough that a busy event loop does not look like a dead connection, and short enough that a
 * dead connection is replaced within seconds.
 */
const defaultTimeouts = { beatMs: 1_000, silenceMs: 5_000 };

interface HeartbeatEvents {
  /** Sends a message whose return is a beat. */
  sendBeat: () => void;
  /** No beat arrived for `silenceMs`. Called again after each further `silenceMs` without a beat. */
  onSilent: () => void;
}

/** Detects that sent messages no longer arrive, even if the connection reports no error. */
export class Heartbeat {
  readonly #timer: NodeJS.Timeout;
  #lastReceivedAt = performance.now();
  #lastTickAt = performance.now();

  constructor({ sendBeat, onSilent }: HeartbeatEvents, { beatMs, silenceMs } = defaultTimeouts) {
    this.#timer = setInterval(() => {
      const now = performance.now();
      // If this timer is late, the event loop was blocked. Beats may have arrived in the meantime and are not read yet,
      // so the silence does not prove that the connection is dead.
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

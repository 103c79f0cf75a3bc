/** How long before the end of its token a connection is warned. */
const warningMs = 60_000;
/** Node fires a longer timer at once. */
const longestTimerMs = 2_147_483_647;

export interface TokenLifetime {
  /** The connection has sent a fresh token. Seconds since 1970; null: it never ends. */
  renew(expiresAt: number | null): void;
  stop(): void;
}

interface Listener {
  warn?: (inMs: number) => void;
  end: () => void;
}

/** Warns before a live connection's token ends, and tells when it has. */
export function watchToken(expiresAt: number | null, { warn, end }: Listener): TokenLifetime {
  let timer: NodeJS.Timeout | undefined;

  function at(moment: number, task: () => void): void {
    const wait = Math.max(0, moment - Date.now());
    timer = setTimeout(wait > longestTimerMs ? () => at(moment, task) : task, Math.min(wait, longestTimerMs));
    timer.unref();
  }

  function watch(seconds: number | null): void {
    clearTimeout(timer);
    if (seconds === null || !Number.isFinite(seconds)) return;
    const endMs = seconds * 1_000;
    const waitForEnd = () => at(endMs, end);
    if (!warn) return waitForEnd();
    at(endMs - warningMs, () => {
      warn(Math.max(0, Math.round(endMs - Date.now())));
      waitForEnd();
    });
  }

  watch(expiresAt);
  return { renew: watch, stop: () => clearTimeout(timer) };
}

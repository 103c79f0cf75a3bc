import type { Revocations } from '../rooms/revocations.ts';
import type { Identity } from './authenticate.ts';
import { type HeldToken, HeldTokens } from './held-tokens.ts';

/** How long before the end of its token a connection is warned. */
const warningMs = 60_000;
/** Node fires a longer timer at once. */
const longestTimerMs = 2_147_483_647;

export interface TokenLifetime {
  /** The connection has sent a fresh token. */
  renew(identity: Identity): void;
  stop(): void;
}

interface Listener {
  warn?: (inMs: number) => void;
  /** Called once; within `watch` or `renew` where the token was revoked while it was on its way there. */
  end: (how: 'expired' | 'revoked') => void;
}

/** The end of the tokens of all live connections, whichever way it comes. */
export interface TokenLifetimes {
  watch(identity: Identity, listener: Listener): TokenLifetime;
}

export function tokenLifetimes({ isRevoked, onChange }: Pick<Revocations, 'isRevoked' | 'onChange'>): TokenLifetimes {
  const held = new HeldTokens();
  onChange((inForce) => {
    for (const revocation of inForce) {
      for (const token of held.maybeOf(revocation)) if (isRevoked(token.identity)) token.revoke();
    }
  });

  function watch(identity: Identity, { warn, end }: Listener): TokenLifetime {
    const expiry = watchExpiry({ warn, end: () => stopAndEnd('expired') });
    let token: HeldToken | undefined;

    function stop(): void {
      expiry.stop();
      if (token) held.release(token);
      token = undefined;
    }
    function stopAndEnd(how: 'expired' | 'revoked'): void {
      stop();
      end(how);
    }
    function renew(fresh: Identity): void {
      stop();
      // It may have been revoked since it was verified.
      if (isRevoked(fresh)) return end('revoked');
      token = { identity: fresh, revoke: () => stopAndEnd('revoked') };
      held.hold(token);
      expiry.start(fresh.expiresAt);
    }

    renew(identity);
    return { renew, stop };
  }

  return { watch };
}

/** Warns before the end, and tells when it has come. */
function watchExpiry({ warn, end }: { warn: Listener['warn']; end: () => void }) {
  let timer: NodeJS.Timeout | undefined;

  function at(moment: number, task: () => void): void {
    const wait = Math.max(0, moment - Date.now());
    timer = setTimeout(wait > longestTimerMs ? () => at(moment, task) : task, Math.min(wait, longestTimerMs));
    timer.unref();
  }

  /** Seconds since 1970; null: never. */
  function start(seconds: number | null): void {
    if (seconds === null || !Number.isFinite(seconds)) return;
    const endMs = seconds * 1_000;
    const waitForEnd = () => at(endMs, end);
    if (!warn) return waitForEnd();
    at(endMs - warningMs, () => {
      warn(Math.max(0, Math.round(endMs - Date.now())));
      waitForEnd();
    });
  }

  return { start, stop: () => clearTimeout(timer) };
}

import type { Admission } from '../../auth/connection-limits.ts';
import type { Identity } from '../../auth/identity.ts';
import type { TokenHolder, TokenWatch } from '../../auth/token-expiry.ts';
import type { Actor } from '../../core/authorization.ts';
import type { ChatFrame, CommandId } from '../../core/contract/chat.ts';
import { ChatError, type CloseReason, type ErrorCode, isTokenError } from '../../core/errors.ts';
import { costs } from '../../core/limits/request-costs.ts';
import {
  maxInvalidTokens,
  unauthenticatedBurstBytes,
  unauthenticatedFrameBytes,
} from '../../core/limits/transport-limits.ts';
import { requestOverheadBytes } from '../command-queue.ts';
import type { LiveContext } from '../live-context.ts';
import type { ChatLink } from './link.ts';

type Id = CommandId | undefined;

/** What the authentication needs from its session. */
interface AuthenticatedSession extends TokenHolder {
  readonly hasEnded: boolean;
  send(frame: ChatFrame): void;
  sendError(error: ChatError, id: Id): void;
  close(reason: CloseReason): void;
}

/**
 * The token of one `/chat` connection. Until the first token is accepted, the connection has a deadline, counts as
 * unauthenticated, and may send only small frames.
 */
export class Authentication {
  readonly #session: AuthenticatedSession;
  readonly #link: ChatLink;
  readonly #live: LiveContext;
  #identity: Identity | undefined;
  #invalidTokens = 0;
  #unauthenticatedBytes = 0;
  #deadlineTimer: NodeJS.Timeout | undefined;
  #tokenWatch: TokenWatch | undefined;
  #releaseUnauthenticated: () => void;
  #admission: Admission | undefined;

  constructor(session: AuthenticatedSession, link: ChatLink, live: LiveContext) {
    this.#session = session;
    this.#link = link;
    this.#live = live;
    this.#releaseUnauthenticated = live.connections.awaitToken(() => session.close('no_token'));
    this.#deadlineTimer = setTimeout(() => session.close('no_token'), live.authTimeoutMs);
  }

  /** Undefined until a token is accepted. Remains set after the connection has ended. */
  get actor(): Actor | undefined {
    return this.#identity?.actor;
  }

  /**
   * Whether an unauthenticated connection may queue this frame. A client may send its token and further commands in one
   * burst, but a frame that is not part of such a burst has to be small.
   */
  mayQueue(bytes: number, queued: number): boolean {
    this.#unauthenticatedBytes += bytes + requestOverheadBytes;
    if (queued > 0) return this.#unauthenticatedBytes <= unauthenticatedBurstBytes;
    if (bytes > unauthenticatedFrameBytes) return false;
    const { frameBytes } = this.#live.limits;
    this.#link.limitMessages(
      frameBytes === 0 ? unauthenticatedBurstBytes : Math.min(frameBytes, unauthenticatedBurstBytes),
    );
    return true;
  }

  /** Ends the burst: no token is accepted and no command is queued. Closes the connection if a large frame arrives. */
  limitToSmallFrames(): void {
    if (!this.#link.limitMessages(unauthenticatedFrameBytes)) this.#session.close('frame_too_large');
  }

  /** Verifies the first token, or a fresh one of the same user. Returns whether it is accepted. */
  async useToken(token: unknown, id: Id): Promise<boolean> {
    const current = this.#identity;
    let fresh: Identity;
    try {
      fresh = await this.#live.authenticator.verify(token);
    } catch (thrown) {
      const error = ChatError.from(thrown);
      if (!isTokenError(error.code)) throw error;
      this.onInvalidToken(id, error.code);
      return false;
    }
    if (this.#session.hasEnded) return false;
    if (current && current.actor.user !== fresh.actor.user) {
      this.onInvalidToken(id, 'UNAUTHENTICATED');
      return false;
    }
    this.#live.context.requestLimits.consume(fresh.actor.user, costs.token);
    if (!current) {
      if (!(await this.#admit(fresh.actor, id))) return false;
      this.#link.limitMessages(this.#live.limits.frameBytes);
    }
    this.#invalidTokens = 0;
    this.#identity = fresh;
    if (this.#tokenWatch) this.#tokenWatch.renew(fresh);
    else this.#tokenWatch = this.#live.tokenExpiry.watch(fresh, this.#session);
    return true;
  }

  /** Counts a missing or rejected token, and requests a new token. The last attempt closes the connection instead. */
  onInvalidToken(id: Id, reason?: ErrorCode): void {
    this.#live.metrics.refused('chat', reason ?? 'UNAUTHENTICATED');
    this.#invalidTokens += 1;
    if (this.#invalidTokens < maxInvalidTokens) {
      return this.#session.send({ type: 'query', data: 'TOKEN?', reason, id });
    }
    this.#session.send({ type: 'status', data: 'BADAUTH', id });
    this.#session.close('invalid_tokens');
  }

  end(): void {
    this.#stopAwaitingToken();
    this.#tokenWatch?.stop();
    this.#admission?.release();
  }

  /** Counts the connection as a connection of its user, or closes it if the user has too many. */
  async #admit({ user }: Actor, id: Id): Promise<boolean> {
    this.#stopAwaitingToken();
    try {
      this.#admission = await this.#live.connections.admit(user);
      // If the connection has closed meanwhile, `end` was called before there was anything to release.
      if (this.#session.hasEnded) this.#admission.release();
      return !this.#session.hasEnded;
    } catch (error) {
      this.#session.sendError(ChatError.from(error), id);
      this.#session.close('too_many_connections');
      return false;
    }
  }

  #stopAwaitingToken(): void {
    clearTimeout(this.#deadlineTimer);
    this.#deadlineTimer = undefined;
    this.#releaseUnauthenticated();
    this.#releaseUnauthenticated = noop;
  }
}

const noop = () => {};

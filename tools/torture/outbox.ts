import { type ErrorCode, errors } from '../../src/core/errors.ts';
import type { Evidence, Outcome, Sent } from './record.ts';

const resendMs = 6_000;
const retryMs = 400;
const maxWaiting = 20;

interface Waiting {
  sent: Sent;
  dueAt: number;
}

/** The messages that one client sends. It sends each message again under the same id until the server answers. */
export class Outbox {
  readonly #evidence: Evidence;
  readonly #owner: { client: string; user: string };
  readonly #waiting = new Map<string, Waiting>();
  readonly #all = new Map<string, Sent>();
  #count = 0;

  constructor(evidence: Evidence, owner: { client: string; user: string }) {
    this.#evidence = evidence;
    this.#owner = owner;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** The content is a text that no other message has. `extras` gets a text of the same kind for custom data. */
  write(room: number, extras?: (token: string) => NonNullable<Sent['extras']>): void {
    if (this.#waiting.size >= maxWaiting) return;
    this.#count += 1;
    const clientMsgId = `${this.#owner.client}-${this.#count}`;
    const content = `[${clientMsgId}] into ${room}`;
    const more = extras && { extras: extras(`[${clientMsgId}.custom]`) };
    const sent: Sent = { ...this.#owner, room, clientMsgId, content, ...more, attempts: 0, outcome: undefined };
    this.#evidence.sent.push(sent);
    this.#all.set(clientMsgId, sent);
    this.#waiting.set(clientMsgId, { sent, dueAt: 0 });
  }

  /** Returns the messages that are due, and marks them as sent. */
  take(now: number, mayGo: (room: number) => boolean): Sent[] {
    const due = [...this.#waiting.values()].filter(({ sent, dueAt }) => dueAt <= now && mayGo(sent.room));
    for (const one of due) {
      one.dueAt = now + resendMs;
      one.sent.attempts += 1;
    }
    return due.map(({ sent }) => sent);
  }

  /** After the connection has ended, requests in progress get no answer. */
  connectionLost(): void {
    for (const one of this.#waiting.values()) one.dueAt = 0;
  }

  stored(clientMsgId: string, outcome: Extract<Outcome, { is: 'stored' }>): void {
    const sent = this.#all.get(clientMsgId);
    if (!sent) return void this.#violation(`an answer to ${clientMsgId}, which it never sent`);
    this.#waiting.delete(clientMsgId);
    if (sent.outcome?.is !== 'stored') sent.outcome = outcome;
    else if (
      (!outcome.duplicate && sent.outcome.rev !== outcome.rev) ||
      sent.outcome.seq !== outcome.seq ||
      sent.outcome.id !== outcome.id
    ) {
      this.#violation(`${clientMsgId} acknowledged as rev ${sent.outcome.rev}, and again as rev ${outcome.rev}`);
    }
  }

  refused(clientMsgId: string, code: ErrorCode, now: number): void {
    const waiting = this.#waiting.get(clientMsgId);
    if (!waiting) return;
    // The root of a thread can be deleted meanwhile.
    const isReply = waiting.sent.extras?.thread !== undefined;
    const isFinal = ['FORBIDDEN', 'BANNED', 'NOT_FOUND', ...(isReply ? ['DELETED'] : [])].includes(code);
    if (!isFinal && code !== 'UNAVAILABLE') this.#violation(`${clientMsgId} refused with ${code}`);
    if (errors[code]?.retry) return void this.postpone(clientMsgId, now);
    waiting.sent.outcome = { is: 'refused', code };
    this.#waiting.delete(clientMsgId);
  }

  postpone(clientMsgId: string, now: number): void {
    const waiting = this.#waiting.get(clientMsgId);
    if (waiting) waiting.dueAt = now + retryMs;
  }

  /** Stops sending to a room that no longer accepts requests. The outcome of its messages remains unknown. */
  giveUp(room: number): void {
    for (const { sent } of this.#waiting.values()) {
      if (sent.room !== room) continue;
      sent.outcome = { is: 'unknown' };
      this.#waiting.delete(sent.clientMsgId);
    }
  }

  #violation(what: string): void {
    this.#evidence.violations.push({ fault: 'protocol', what: `${this.#owner.client}: ${what}` });
  }
}

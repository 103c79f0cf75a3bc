import { type ErrorCode, errors } from '../../src/core/errors.ts';
import type { Random } from '../fuzz/random.ts';
import type { OperationAnswer } from './connection.ts';
import type { Evidence, Operation } from './record.ts';
import type { Timeline } from './timeline.ts';

const resendMs = 6_000;
const retryMs = 400;
const maxWaiting = 10;
const emojis = ['👍', '❤️', '🎉', '😂', '🚀'];
/** Refusals that a change of rights or another client can cause. */
const fairRefusals: ErrorCode[] = ['FORBIDDEN', 'BANNED', 'NOT_FOUND', 'DELETED'];

interface Waiting {
  operation: Operation;
  dueAt: number;
}

/**
 * The edits, deletions and reactions of one client. Each is repeated until the server answers. Except for two edits from
 * the same version, the client changes a message only if it waits for no other answer about it.
 */
export class Operations {
  readonly #evidence: Evidence;
  readonly #owner: { client: string; user: string };
  readonly #random: Random;
  readonly #waiting = new Set<Waiting>();
  #count = 0;

  constructor(evidence: Evidence, owner: { client: string; user: string }, random: Random) {
    this.#evidence = evidence;
    this.#owner = owner;
    this.#random = random;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** Changes a message that the timeline contains. */
  begin(room: number, timeline: Timeline): void {
    if (this.#waiting.size >= maxWaiting) return;
    const busy = new Set([...this.#waiting].map(({ operation }) => `${operation.room} ${operation.seq}`));
    const choices = timeline.recent(30).filter(({ seq }) => !busy.has(`${room} ${seq}`));
    const own = choices.filter(({ emitter }) => emitter === this.#owner.user);
    const kind = this.#random.int(10);
    if (kind < 5 && choices.length > 0) {
      const { seq } = this.#random.pick(choices);
      const emoji = this.#random.pick(emojis);
      const added = !timeline.hasReacted(seq, emoji);
      this.#add({ room, seq, kind: 'react', emoji, added });
    } else if (own.length > 0) {
      const { seq, version } = this.#random.pick(own);
      if (kind === 5) return this.#add({ room, seq, kind: 'delete' });
      const base = this.#random.chance(0.5) ? { base: version } : {};
      this.#add({ room, seq, kind: 'edit', content: this.#content(room), ...base });
      // Only one of two edits from the same version may succeed.
      if (kind === 9 && base.base) this.#add({ room, seq, kind: 'edit', content: this.#content(room), ...base });
    }
  }

  /** Returns the operations that are due, and marks them as sent. */
  take(now: number, mayGo: (room: number) => boolean): Operation[] {
    const due = [...this.#waiting].filter(({ operation, dueAt }) => dueAt <= now && mayGo(operation.room));
    for (const one of due) {
      one.dueAt = now + resendMs;
      one.operation.attempts += 1;
      one.operation.askedAt = now;
    }
    return due.map(({ operation }) => operation);
  }

  connectionLost(): void {
    for (const one of this.#waiting) one.dueAt = 0;
  }

  answered(operation: Operation, answer: OperationAnswer, now: number): void {
    const waiting = [...this.#waiting].find((one) => one.operation === operation);
    if (!waiting) return;
    const what = `${operation.kind} of seq ${operation.seq} in room ${operation.room}`;
    if (answer.ok) {
      this.#waiting.delete(waiting);
      const { changed, rev, message } = answer;
      if (message && message.content !== operation.content) this.#violation(`${what}: answered with other content`);
      operation.outcome = { is: 'done', changed, rev, version: message?.version, at: now };
    } else if (errors[answer.code].retry) {
      waiting.dueAt = now + retryMs;
      if (answer.code !== 'UNAVAILABLE') this.#violation(`${what} refused with ${answer.code}`);
    } else {
      this.#waiting.delete(waiting);
      operation.outcome = { is: 'refused', code: answer.code };
      const isFair = fairRefusals.includes(answer.code) || (answer.code === 'CONFLICT' && operation.base !== undefined);
      if (!isFair) this.#violation(`${what} refused with ${answer.code}`);
    }
  }

  /** Stops asking about a room that no longer accepts requests. */
  giveUp(room: number): void {
    for (const one of this.#waiting) {
      if (one.operation.room !== room) continue;
      one.operation.outcome = { is: 'unknown' };
      this.#waiting.delete(one);
    }
  }

  #content(room: number): string {
    this.#count += 1;
    return `[${this.#owner.client}.edit-${this.#count}] in ${room}`;
  }

  #add(what: Pick<Operation, 'room' | 'seq' | 'kind' | 'content' | 'base' | 'emoji' | 'added'>): void {
    const operation: Operation = { ...this.#owner, ...what, attempts: 0, askedAt: 0, outcome: undefined };
    this.#evidence.operations.push(operation);
    this.#waiting.add({ operation, dueAt: 0 });
  }

  #violation(what: string): void {
    this.#evidence.violations.push({ fault: 'protocol', what: `${this.#owner.client}: ${what}` });
  }
}

import { setTimeout as delay } from 'node:timers/promises';
import type { Message } from '../../src/core/log/message.ts';
import { createUser, type TestUser } from '../../test/helpers/users.ts';
import type { Random } from '../fuzz/random.ts';
import type { Participant } from './participant.ts';
import type { Grantee } from './population.ts';
import { type Evidence, type Operation, ruleText } from './record.ts';

/**
 * Longer than a node may take for a request. If an abandoned attempt was still processed after the next attempt, the
 * rules would be out of order.
 */
const requestMs = 25_000;
const outMs = 20_000;

interface Answer {
  content: unknown;
  meta?: { rev: number };
}

/** The owner of all rooms, over REST. Repeats each request until it is answered. */
export class Owner {
  readonly person: TestUser = createUser({ level: 100 });
  readonly #urls: string[];
  readonly #random: Random;
  readonly #evidence: Evidence;
  /** The times from the answer to a ban until all affected clients have been removed, in ms. */
  readonly bans: number[] = [];
  counts = { rules: 0, names: 0 };

  constructor(urls: string[], random: Random, evidence: Evidence) {
    this.#urls = urls;
    this.#random = random;
    this.#evidence = evidence;
    evidence.owner = this.person.user;
  }

  async put({ room, kind, uuid }: Grantee, permissions: string, level = 0): Promise<void> {
    const grantee = kind === 'user' ? { userUUID: uuid } : { entityUUID: uuid };
    await this.#ask('PUT', `/rooms/${room}/members`, { ...grantee, permissions, level });
    this.#evidence.ruleChanges.push({ room, grantee: uuid, rule: ruleText(permissions, level) });
  }

  async remove({ room, uuid }: Grantee): Promise<void> {
    await this.#ask('DELETE', `/rooms/${room}/members/${uuid}`);
    this.#evidence.ruleChanges.push({ room, grantee: uuid, rule: null });
  }

  /**
   * Takes rights from one grantee after the other and gives them back, until `isOver`. Only this loop may change the
   * rules of these grantees.
   */
  async rule(grantees: Grantee[], participants: Participant[], isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      await delay(100 + this.#random.int(500));
      const grantee = this.#random.pick(grantees);
      if (this.#random.chance(0.1)) await this.#rename(grantee.room);
      if (this.#random.chance(0.5)) await this.#moderate(grantee.room);
      const concerned = participants
        .filter(({ user, entity }) => user === grantee.uuid || entity === grantee.uuid)
        .flatMap(({ subscriptions }) => subscriptions)
        .filter(({ room }) => room === grantee.room);
      const takesRead = await this.#restrict(grantee);
      if (takesRead) void this.#watch(concerned);
      await delay(200 + this.#random.int(3_000));
      // At the end, rights are not restored: excluded clients remain excluded.
      if (isOver()) return;
      if (grantee.initialRule) await this.put(grantee, grantee.initialRule);
      else await this.remove(grantee);
    }
  }

  /** Returns whether the grantee can no longer read. */
  async #restrict(grantee: Grantee): Promise<boolean> {
    this.counts.rules += 1;
    const change = this.#random.pick(grantee.initialRule ? ['b', 'b', 'w', 'r', 'level', 'remove'] : ['b']);
    if (change === 'remove') await this.remove(grantee);
    // A level matters only for an organisation. For a user, the change affects nobody's rights.
    else if (change === 'level') await this.put(grantee, 'rw', 100);
    else await this.put(grantee, change);
    return change === 'level' ? grantee.kind === 'entity' : change !== 'r';
  }

  async #watch(subscriptions: readonly { end: unknown }[]): Promise<void> {
    const since = performance.now();
    while (subscriptions.some(({ end }) => !end) && performance.now() < since + outMs) await delay(5);
    if (subscriptions.length > 0) this.bans.push(performance.now() - since);
  }

  async #rename(room: number): Promise<void> {
    this.counts.names += 1;
    await this.#ask('PATCH', `/rooms/${room}`, { name: `room ${room}, name ${this.counts.names}` });
  }

  /** Deletes a message of somebody else. */
  async #moderate(room: number): Promise<void> {
    const page = await this.#ask('GET', `/rooms/${room}/messages?limit=10`);
    const messages = ((page?.content ?? []) as Message[]).filter(({ deletedAt }) => !deletedAt);
    if (messages.length === 0) return;
    const { seq } = this.#random.pick(messages);
    const operation: Operation = {
      ...{ client: 'the owner', user: this.person.user, room, seq, kind: 'delete' },
      ...{ attempts: 2, askedAt: performance.now(), outcome: { is: 'unknown' } },
    };
    this.#evidence.operations.push(operation);
    const answer = await this.#ask('DELETE', `/rooms/${room}/messages/${seq}`);
    if (!answer?.meta) return;
    const changed = (answer.content as { deleted: number[] }).deleted.length > 0;
    operation.outcome = { is: 'done', changed, rev: answer.meta.rev, version: undefined, at: performance.now() };
  }

  /** Repeats the request until it succeeds. If a rule no longer exists, a previous attempt has removed it. */
  async #ask(method: string, path: string, body?: object): Promise<Answer | undefined> {
    for (let tries = 1; ; tries++) {
      const { status, body: answer } = (await this.#once(method, path, body)) ?? {};
      if (status === 200 || status === 201 || (method === 'DELETE' && status === 404 && tries > 1)) return answer;
      if (status !== undefined && status !== 503) {
        this.#evidence.violations.push({
          fault: 'protocol',
          what: `the owner's ${method} ${path} was answered with ${status}`,
        });
        return undefined;
      }
      await delay(100 + this.#random.int(200));
    }
  }

  async #once(method: string, path: string, body: object | undefined) {
    const headers = { Authorization: `Bearer ${this.person.token}`, 'Content-Type': 'application/json' };
    const signal = AbortSignal.timeout(requestMs);
    try {
      const init = { method, headers, signal, ...(body && { body: JSON.stringify(body) }) };
      const answer = await fetch(this.#random.pick(this.#urls) + path, init);
      return { status: answer.status, body: (await answer.json()) as Answer };
    } catch {
      return undefined;
    }
  }
}

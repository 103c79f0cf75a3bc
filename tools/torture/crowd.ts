import type { ReactionCount } from '../../src/core/log/message.ts';
import { restCalls } from '../../test/helpers/rest-calls.ts';
import { createUser, type TestUser } from '../../test/helpers/users.ts';
import type { Random } from '../fuzz/random.ts';
import type { Evidence, Operation } from './record.ts';
import { withDatabase } from './room-history.ts';

const size = 100;
const emoji = '👏';
const maxAttempts = 5;

interface Options {
  urls: string[];
  databaseUrl: () => string;
  random: Random;
  /** The organisation of the users, and the rooms that it may write in. */
  entity: string;
  level: number;
  rooms: number[];
}

/** A hundred users who all react to the same message at the same time, over REST. */
export class Crowd {
  readonly #users: TestUser[];
  readonly #options: Options;
  readonly #evidence: Evidence;

  constructor(options: Options, evidence: Evidence) {
    const { entity, level } = options;
    this.#options = options;
    this.#evidence = evidence;
    this.#users = Array.from({ length: size }, () => createUser({ entity, level }));
    for (const { user } of this.#users) evidence.users.set(user, { entity, level });
  }

  async react(): Promise<void> {
    const { random, rooms, databaseUrl } = this.#options;
    const room = random.pick(rooms);
    const seq = await findNewest(databaseUrl(), room).catch(() => undefined);
    if (seq === undefined) return;
    await Promise.all(this.#users.map((person, n) => this.#change(person, n, { room, seq, added: true })));
    const some = this.#users.filter(() => random.chance(0.3));
    await Promise.all(some.map((person, n) => this.#change(person, n, { room, seq, added: false })));
  }

  async #change({ user, token }: TestUser, n: number, what: { room: number; seq: number; added: boolean }) {
    const operation: Operation = {
      ...{ client: `crowd${n}`, user, ...what, kind: 'react', emoji },
      ...{ attempts: 0, askedAt: 0, outcome: { is: 'unknown' } },
    };
    this.#evidence.operations.push(operation);
    const path = `/rooms/${what.room}/messages/${what.seq}/reactions/${encodeURIComponent(emoji)}`;
    while (operation.outcome?.is === 'unknown' && operation.attempts < maxAttempts) {
      operation.attempts += 1;
      operation.askedAt = performance.now();
      const api = restCalls(this.#options.random.pick(this.#options.urls), token);
      const answer = await (what.added ? api.put(path) : api.delete(path)).catch(() => undefined);
      if (!answer || answer.status >= 500) continue;
      const { meta } = answer.body as { content: ReactionCount[]; meta: Meta };
      if (answer.status === 200) {
        operation.outcome = { is: 'done', ...meta, version: undefined, at: performance.now() };
      } else operation.outcome = { is: 'refused', code: meta.reason };
    }
  }
}

interface Meta {
  changed: boolean;
  rev: number;
  reason: string;
}

async function findNewest(url: string, room: number): Promise<number | undefined> {
  return withDatabase(url, async (database) => {
    const { rows } = await database.query<{ seq: string }>(
      'select seq from messages where room_id = $1 and deleted_at is null order by seq desc limit 1',
      [room],
    );
    return rows[0] && Number(rows[0].seq);
  });
}

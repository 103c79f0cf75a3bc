import type { Subscriber } from '../../core/feed/subscriber.ts';
import type { Uuid } from '../../core/ids.ts';
import type { Typist } from './contract.ts';

interface TimedTypist extends Typist {
  /** In ms, as returned by `performance.now()`. */
  until: number;
}

/** What a node publishes about a room: up to `maxUsers` of its typists, with the time that is left for each. */
export interface NodeTyping {
  /** Increases with each state of the node. The bus is unordered, so receivers need it to recognize outdated states. */
  counter: number;
  users: (Typist & { ms: number })[];
  count: number;
}

interface RemoteTyping {
  counter: number;
  typists: TimedTypist[];
  /** How many typists the node did not name. */
  unnamed: number;
  /**
   * The entry is kept until this time. Until then, an outdated state that arrives late is recognized by its counter.
   */
  until: number;
}

const maxUsers = 10;

const toKey = ({ user, thread }: Typist) => `${user}/${thread ?? ''}`;

/** Merges typists that look the same to a client. Keeps the latest time of each. */
function merge(typists: Iterable<TimedTypist>): Map<string, TimedTypist> {
  const merged = new Map<string, TimedTypist>();
  for (const typist of typists) {
    const key = toKey(typist);
    const until = Math.max(typist.until, merged.get(key)?.until ?? 0);
    merged.set(key, { ...typist, until });
  }
  return merged;
}

/** Who is typing in one room: on this node by connection, and on the other nodes. */
export class TypingRoom {
  readonly #local = new Map<Subscriber, TimedTypist>();
  readonly #remote = new Map<string, RemoteTyping>();

  get isEmpty(): boolean {
    return this.#local.size === 0 && this.#remote.size === 0;
  }

  get localTypists(): ReadonlyMap<Subscriber, Typist> {
    return this.#local;
  }

  start(subscriber: Subscriber, thread: number | undefined, until: number): void {
    const { user } = subscriber.actor;
    this.#local.set(subscriber, thread === undefined ? { user, until } : { user, thread, until });
  }

  /** Returns whether the connection was typing. */
  stop(subscriber: Subscriber): boolean {
    return this.#local.delete(subscriber);
  }

  /** Ends the typing of all connections of a user on this node. Returns whether there was any. */
  stopUser(user: Uuid): boolean {
    let stopped = false;
    for (const [subscriber, typist] of this.#local) {
      if (typist.user === user) stopped = this.#local.delete(subscriber);
    }
    return stopped;
  }

  /** Applies the state of another node. Returns false if a later state is already known. */
  receive(node: string, { counter, users, count }: NodeTyping, now: number, maxMs: number): boolean {
    if ((this.#remote.get(node)?.counter ?? -1) >= counter) return false;
    const typists = users.map(({ ms, ...typist }) => ({ ...typist, until: now + Math.min(ms, maxMs) }));
    this.#remote.set(node, { counter, typists, unnamed: Math.max(0, count - users.length), until: now + maxMs });
    return true;
  }

  /** Removes expired entries. Returns whether typists have expired, and when the next entry expires. */
  expire(now: number): { changed: boolean; localChanged: boolean; nextAt: number } {
    let changed = false;
    let localChanged = false;
    let nextAt = Number.POSITIVE_INFINITY;
    for (const [subscriber, { until }] of this.#local) {
      if (until <= now) localChanged = this.#local.delete(subscriber);
      else nextAt = Math.min(nextAt, until);
    }
    for (const [node, remote] of this.#remote) {
      if (remote.until <= now) {
        changed = this.#remote.delete(node);
        continue;
      }
      const { typists } = remote;
      remote.typists = typists.filter(({ until }) => until > now);
      changed ||= remote.typists.length < typists.length;
      for (const { until } of [remote, ...remote.typists]) nextAt = Math.min(nextAt, until);
    }
    return { changed: changed || localChanged, localChanged, nextAt };
  }

  /** Returns the typists in the form that clients receive. */
  toSet(): { users: Typist[]; count: number } {
    const remote = [...this.#remote.values()];
    const merged = merge([...this.#local.values(), ...remote.flatMap(({ typists }) => typists)]);
    const users = [...merged.values()].slice(0, maxUsers).map(({ until: _, ...typist }) => typist);
    return { users, count: merged.size + remote.reduce((sum, { unnamed }) => sum + unnamed, 0) };
  }

  /** Returns the state of this node, without its counter. */
  toNodeState(now: number): Omit<NodeTyping, 'counter'> {
    const merged = merge(this.#local.values());
    const users = [...merged.values()]
      .slice(0, maxUsers)
      .map(({ until, ...typist }) => ({ ...typist, ms: Math.max(0, Math.round(until - now)) }));
    return { users, count: merged.size };
  }
}

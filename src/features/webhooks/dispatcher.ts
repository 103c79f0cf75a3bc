import type { RoomId } from '../../core/ids.ts';
import type { RoomLog } from '../../core/log/room-log.ts';
import type { TaskReport } from '../../core/periodic.ts';
import type { Store } from '../../database/store.ts';
import type { DeliveredRoom, Delivery } from './delivery.ts';
import { EndpointPolicy } from './endpoint-policy.ts';
import { FailingMark } from './failing-mark.ts';
import {
  findRoomsBehind,
  markFailing,
  movePositions,
  readEndpoint,
  readRefusals,
  suspendEndpoint,
  writeRefusal,
} from './positions.ts';
import { maxChanges, type Reading, type ReadingEndpoint, readDelivery } from './read-delivery.ts';
import { attemptDelivery, type Outcome, type Receiver } from './receiver.ts';
import { RefusedRooms } from './refused-rooms.ts';
import { type Claim, RoomQueue } from './room-queue.ts';
import type { WebhookTimeouts } from './timeouts.ts';

/** What a dispatcher reports to the log and the metrics. */
export interface DispatcherEvents {
  /** A request was answered, or failed after this time. */
  requested(outcome: Outcome, seconds: number): void;
  /** This many changes were delivered. The oldest of them was made at least this many seconds ago. */
  delivered(changes: number, seconds: number): void;
  /** The endpoint has begun to fail. */
  failing(error: string): void;
  recovered(): void;
  suspended(): void;
  refused(room: RoomId, error: string, isParked: boolean): void;
  unreadable(room: RoomId, error: Error): void;
  database: TaskReport;
}

/** From the moment in which the node acquires the lease until it loses it. */
interface Run {
  readonly token: string;
  readonly abort: AbortController;
}

interface Collaborators {
  store: Pick<Store, 'query'>;
  log: Pick<RoomLog, 'snapshot'>;
  endpoint: ReadingEndpoint;
  lease: string;
  receiver: Receiver;
  events: DispatcherEvents;
  timeouts: WebhookTimeouts;
  /** Called if a write has shown that another node has the lease. */
  onFenced(token: string): void;
}

const databaseRetryMs = 500;

/**
 * Delivers the changes of all rooms to one endpoint, in the order of each room's log. Works while the node has the lease
 * of the endpoint: from `start` to `stop`.
 */
export class Dispatcher {
  readonly #parts: Collaborators;
  readonly #policy: EndpointPolicy;
  readonly #refused: RefusedRooms;
  readonly #failingMark: FailingMark;
  readonly #queue = new RoomQueue();
  /** Undefined while another node dispatches. */
  #run: Run | undefined;
  #isSuspended = false;
  #isFinishing = false;
  #requests = 0;
  #timer: NodeJS.Timeout | undefined;
  #blockedUntil = Number.NEGATIVE_INFINITY;
  #comparison: Promise<void> | undefined;
  #shouldCompareAgain = false;
  #whenIdle: (() => void) | undefined;

  constructor(parts: Collaborators) {
    this.#parts = parts;
    this.#policy = new EndpointPolicy(parts.timeouts);
    this.#refused = new RefusedRooms(parts.timeouts);
    const { store, endpoint, events } = parts;
    this.#failingMark = new FailingMark((error) => {
      markFailing(store, endpoint.id, error).catch(events.database.failed);
    });
  }

  get isRunning(): boolean {
    return this.#run !== undefined;
  }

  /** Whether rooms wait for a request that may begin. */
  get isBusy(): boolean {
    return this.#run !== undefined && !this.#isSuspended && !this.#policy.isFailing && this.#queue.waiting > 0;
  }

  get stats() {
    const now = performance.now();
    const oldest = Math.min(this.#queue.oldest, this.#refused.behindSince);
    return {
      isSuspended: this.#isSuspended,
      isFailing: this.#policy.isFailing,
      oldestMs: oldest === Number.POSITIVE_INFINITY ? 0 : Math.max(0, now - oldest),
      roomsBehind: this.#queue.size + this.#refused.size,
      roomsParked: this.#refused.parked,
    };
  }

  /** Call this once the journal is being read, so that the journal has every change that is made after the comparison. */
  async start(token: string): Promise<void> {
    this.#run = { token, abort: new AbortController() };
    this.#failingMark.expect();
    await this.reload();
  }

  /** Drops everything. Answers that arrive later move no position. */
  stop(): void {
    this.#run?.abort.abort();
    this.#run = undefined;
    clearTimeout(this.#timer);
    this.#queue.clear();
    this.#refused.clear();
  }

  /** Begins no further requests. Resolves when the requests under way are answered. */
  async finish(): Promise<void> {
    this.#isFinishing = true;
    if (this.#requests > 0) await new Promise<void>((resolve) => (this.#whenIdle = resolve));
  }

  /** Reads the state of the endpoint, which an administrator may have changed, and compares all positions. */
  async reload(): Promise<void> {
    const run = this.#run;
    if (!run) return;
    const { store, endpoint, events } = this.#parts;
    try {
      const [row, refusals] = await Promise.all([readEndpoint(store, endpoint.name), readRefusals(store, endpoint.id)]);
      if (this.#run !== run) return;
      this.#isSuspended = row?.suspended ?? true;
      if (!this.#isSuspended) this.#policy.reset();
      const now = performance.now();
      for (const room of this.#refused.replace(refusals, now)) this.#queue.add(room, now);
      for (const { room_id } of refusals) this.#queue.drop(room_id);
      events.database.recovered();
    } catch (error) {
      events.database.failed(error);
      this.#retryLater(() => void this.reload());
      return;
    }
    await this.compare();
  }

  /** Finds the rooms that are behind, without the journal. */
  async compare(): Promise<void> {
    if (this.#comparison) {
      this.#shouldCompareAgain = true;
      return this.#comparison;
    }
    this.#comparison = this.#compare().finally(() => {
      this.#comparison = undefined;
    });
    await this.#comparison;
    if (!this.#shouldCompareAgain) return;
    this.#shouldCompareAgain = false;
    await this.compare();
  }

  async #compare(): Promise<void> {
    const { store, endpoint, events } = this.#parts;
    const run = this.#run;
    if (!run) return;
    try {
      await findRoomsBehind(store, endpoint.id, (rooms) => {
        if (this.#run !== run) return false;
        const now = performance.now();
        for (const { room_id, ageMs } of rooms) this.#add(room_id, now - ageMs);
        this.#pump();
        return true;
      });
      events.database.recovered();
    } catch (error) {
      events.database.failed(error);
      this.#retryLater(() => void this.compare());
    }
  }

  /** These rooms have changes that were committed after `since`. */
  touch(rooms: Iterable<RoomId>, since: number): void {
    if (!this.#run) return;
    for (const room of rooms) this.#add(room, since);
    this.#pump();
  }

  #add(room: RoomId, since: number): void {
    if (!this.#refused.has(room)) this.#queue.add(room, since);
  }

  #retryLater(task: () => void): void {
    const run = this.#run;
    setTimeout(() => {
      if (run && this.#run === run) task();
    }, databaseRetryMs).unref();
  }

  /** Begins as many requests as the endpoint may have. */
  #pump(): void {
    if (!this.#run || this.#isSuspended || this.#isFinishing) return;
    const now = performance.now();
    clearTimeout(this.#timer);
    const { due, nextAt } = this.#refused.listDue(now);
    for (const room of due) this.#queue.addRefused(room, this.#refused.getBehindSince(room)!);
    while (this.#queue.waiting > 0 && now >= this.#blockedUntil && this.#requests < this.#policy.getLimit(now)) {
      void this.#deliverNext(this.#run);
    }
    const wakeAt = Math.min(nextAt, this.#queue.waiting > 0 ? this.#getUnblockedAt(now) : Number.POSITIVE_INFINITY);
    if (wakeAt !== Number.POSITIVE_INFINITY)
      this.#timer = setTimeout(() => this.#pump(), Math.min(Math.max(1, wakeAt - now), 3_600_000)).unref();
  }

  /** The earliest time at which waiting rooms may be delivered. Infinity if they wait for a request to end, which calls `#pump`. */
  #getUnblockedAt(now: number): number {
    if (this.#blockedUntil > now) return this.#blockedUntil;
    const { nextAt } = this.#policy;
    return nextAt !== undefined && nextAt > now ? nextAt : Number.POSITIVE_INFINITY;
  }

  async #deliverNext(run: Run): Promise<void> {
    const { store, log, endpoint, events } = this.#parts;
    const claim = this.#queue.claim(maxChanges);
    this.#requests += 1;
    try {
      const reading = await readDelivery({ store, log }, endpoint, claim.rooms);
      if (this.#run !== run) return;
      this.#releaseUnused(run, claim, reading);
      if (reading.silent.length > 0) await this.#move(run, claim, reading.silent);
      // The rooms that did not fit may be in the next request.
      this.#pump();
      if (reading.delivery) await this.#request(run, claim, reading.delivery);
      events.database.recovered();
    } catch (error) {
      events.database.failed(error);
      this.#blockedUntil = performance.now() + databaseRetryMs;
    } finally {
      this.#queue.releaseAll(claim);
      this.#requests -= 1;
      if (this.#requests === 0) this.#whenIdle?.();
      this.#pump();
    }
  }

  /** Gives back the rooms that are not part of the request. */
  #releaseUnused(run: Run, claim: Claim, { delivery, silent, unreadable, alone, rest }: Reading): void {
    const now = performance.now();
    for (const { room_id, error } of unreadable) void this.#refuse(run, claim, room_id, error.message, error);
    for (const room of alone) this.#queue.release(claim, room, { isBehind: true, isAlone: true });
    for (const { room_id, ageMs } of rest)
      this.#queue.release(claim, room_id, { isBehind: true, since: ageMs > 0 ? now - ageMs : undefined });
    const moving = new Set([...silent, ...(delivery?.rooms ?? [])].map(({ room_id }) => room_id));
    for (const room of claim.rooms) {
      if (!this.#queue.has(claim, room) || moving.has(room)) continue;
      // The endpoint has everything of this room.
      this.#refused.remove(room);
      this.#queue.release(claim, room, { isBehind: false });
    }
  }

  async #request(run: Run, claim: Claim, delivery: Delivery): Promise<void> {
    const { receiver, events } = this.#parts;
    const begunAt = performance.now();
    const { outcome, reason, retryAfterMs } = await attemptDelivery(receiver, delivery, run.abort.signal);
    if (this.#run !== run) return;
    const now = performance.now();
    events.requested(outcome, (now - begunAt) / 1_000);
    if (outcome === 'failed') {
      if (this.#policy.failed(now, begunAt, retryAfterMs)) {
        events.failing(reason);
        this.#failingMark.set(reason);
      }
      return;
    }
    if (this.#policy.succeeded()) events.recovered();
    this.#failingMark.clear();
    if (outcome === 'suspended') await this.#suspend(run, reason);
    else if (outcome === 'refused') await this.#onRefused(run, claim, delivery, reason);
    else await this.#onDelivered(run, claim, delivery, now);
  }

  async #onDelivered(run: Run, claim: Claim, delivery: Delivery, now: number): Promise<void> {
    const oldestMs = Math.max(0, now - Math.min(...delivery.rooms.map(({ room_id }) => this.#queue.getSince(room_id))));
    this.#parts.events.delivered(delivery.changes.length, oldestMs / 1_000);
    await this.#move(run, claim, delivery.rooms);
  }

  async #move({ token }: Run, claim: Claim, rooms: readonly DeliveredRoom[]): Promise<void> {
    const { store, lease, endpoint, onFenced } = this.#parts;
    const moved = await movePositions(store, { lease, token }, endpoint.id, rooms);
    if (!moved) {
      onFenced(token);
      return;
    }
    const now = performance.now();
    for (const { room_id, hasMore, ageMs } of rooms) {
      // If somebody else has moved the position, it is read again.
      const hasMoved = moved.has(room_id);
      if (hasMoved) this.#refused.remove(room_id);
      this.#queue.release(claim, room_id, { isBehind: hasMore || !hasMoved, ...(hasMoved && { since: now - ageMs }) });
    }
  }

  async #onRefused(run: Run, claim: Claim, { rooms }: Delivery, error: string): Promise<void> {
    if (rooms.length === 1) await this.#refuse(run, claim, rooms[0]!.room_id, error);
    else for (const { room_id } of rooms) this.#queue.release(claim, room_id, { isBehind: true, isAlone: true });
  }

  async #refuse({ token }: Run, claim: Claim, room: RoomId, error: string, unreadable?: Error): Promise<void> {
    const { store, lease, endpoint, events } = this.#parts;
    const refusal = this.#refused.refuse(room, performance.now(), this.#queue.getSince(room));
    this.#queue.forget(claim, room);
    if (unreadable) events.unreadable(room, unreadable);
    else events.refused(room, error, refusal.isParked);
    await writeRefusal(store, { lease, token }, endpoint.id, { room_id: room, ...refusal, error }).catch(
      events.database.failed,
    );
  }

  async #suspend({ token }: Run, error: string): Promise<void> {
    const { store, lease, endpoint, events } = this.#parts;
    this.#isSuspended = true;
    events.suspended();
    await suspendEndpoint(store, { lease, token }, endpoint.id, error);
  }
}

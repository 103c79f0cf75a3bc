import type { RemovalCode } from '../../src/core/errors.ts';
import { type TestUser, withClaims } from '../../test/helpers/users.ts';
import type { Random } from '../fuzz/random.ts';
import type { Dial, Heard, JoinAnswer, Line } from './line.ts';
import { Outbox } from './outbox.ts';
import { Place } from './place.ts';
import type { Evidence, Stay, Transport, Violation } from './record.ts';
import type { Head } from './room-history.ts';

const readyMs = 6_000;
const answerMs = 15_000;
const tokenSeconds = 3_600;
const everMs = { write: 800, leave: 9_000, comeBack: 700, joinAgain: 20_000, quit: 30_000 };

/** Returns true with the probability that an event with this mean interval has happened since the last tick. */
type Happens = (everyMs: number) => boolean;

export interface Part {
  name: string;
  person: TestUser;
  transport: Transport;
  dial: Dial;
  /** The rooms that the client may enter. On `/chat` it is in one of them at a time. */
  rooms: number[];
}

/**
 * One client, as a careful author would write it. It compares the state that it wants with the state that it has, and
 * acts on the difference.
 */
export class Participant {
  readonly name: string;
  readonly user: string;
  readonly entity: string;
  readonly #part: Part;
  readonly #urls: string[];
  readonly #random: Random;
  readonly #evidence: Evidence;
  readonly #outbox: Outbox;
  readonly #places: Place[];
  #line: Line | undefined;
  #node = 0;
  #isReady = false;
  #dialledAt = 0;
  #dialAt = 0;
  #failures = 0;
  #freshTokenAt = Number.POSITIVE_INFINITY;
  #isSettled = false;
  #lastTick = 0;

  constructor(part: Part, urls: string[], random: Random, evidence: Evidence) {
    this.#part = part;
    this.#urls = urls;
    this.#random = random;
    this.#evidence = evidence;
    this.name = part.name;
    this.user = part.person.user;
    this.entity = part.person.entity;
    const breach = (fault: Violation['fault'], what: string) => this.#breach(fault, what);
    this.#outbox = new Outbox(evidence, { client: this.name, user: this.user });
    this.#places = part.rooms.map((room) => new Place(room, part, evidence, breach));
    if (part.transport === 'chat') for (const place of this.#places.slice(1)) place.isWanted = false;
  }

  get pending(): number {
    return this.#outbox.size;
  }

  get stays(): Stay[] {
    return this.#places.flatMap(({ stay }) => stay ?? []);
  }

  /**
   * Performs the actions that are due. It is called often; delays are stored as times at which an action becomes due.
   */
  tick(now: number): void {
    const elapsed = now - (this.#lastTick || now);
    this.#lastTick = now;
    if (!this.#line) return now >= this.#dialAt ? this.#dial(now) : undefined;
    if (!this.#isReady) return now > this.#dialledAt + readyMs ? this.#lose('cut', now) : undefined;
    if (this.#places.some(({ askedAt }) => now > askedAt + answerMs)) return this.#lose('cut', now);
    const happens = (everyMs: number) => !this.#isSettled && this.#random.chance(elapsed / everyMs);
    if (happens(everMs.quit)) return this.#line.end('politely');
    this.#wander(now, happens);
    for (const place of this.#places) this.#move(place, now);
    for (const message of this.#outbox.take(now, (room) => this.#maySendTo(room))) this.#line.send(message);
    if (now < this.#freshTokenAt) return;
    this.#freshTokenAt = Number.POSITIVE_INFINITY;
    this.#line.refresh(this.#token(tokenSeconds));
  }

  /** Simulates a network failure. */
  lose(how: 'cut' | 'vanish'): void {
    if (this.#line) this.#lose(how, performance.now());
  }

  /** Replaces the token by a token that expires soon. In some cases the client renews it in time. */
  shortenToken(): void {
    if (!this.#isReady) return;
    this.#line?.refresh(this.#token(2));
    if (this.#random.chance(0.5)) this.#freshTokenAt = performance.now() + 800;
  }

  /** Stops sending and switching rooms. From now on the client only wants to be in its rooms. */
  settle(): void {
    this.#isSettled = true;
    if (this.#part.transport === 'socketio') for (const place of this.#places) place.isWanted = true;
  }

  /** Sends a last message to every room that the client is in. */
  sayGoodbye(): void {
    for (const { room, isIn, isWanted } of this.#places) if (isIn && isWanted) this.#outbox.write(room);
  }

  /** Describes why the client has not received everything up to these heads. */
  missing(heads: Map<number, Head>): string[] {
    const line = this.#isReady ? '' : this.#line ? ', not connected yet' : ', waits to connect';
    return this.#places.flatMap((place) => {
      const missing = place.missing(heads.get(place.room)!);
      return missing === undefined ? [] : [missing + line];
    });
  }

  /** Completes the evidence at the end of the run. */
  close(): void {
    for (const { room, refusal, isWanted } of this.#places) {
      if (refusal && isWanted) this.#evidence.outside.push({ client: this.name, user: this.user, room, code: refusal });
    }
    this.#line?.end('cut');
  }

  #dial(now: number): void {
    const { dial, person } = this.#part;
    this.#node = this.#random.int(this.#urls.length);
    this.#dialledAt = now;
    this.#isReady = false;
    this.#freshTokenAt = Number.POSITIVE_INFINITY;
    const node = this.#node;
    const token = withClaims(person, { exp: Math.floor(Date.now() / 1_000) + tokenSeconds }).token;
    this.#line = dial(this.#urls[node]!, token, {
      ready: () => {
        this.#isReady = true;
        this.#failures = 0;
      },
      heard: (change) => this.#hear(change),
      removed: (room, code) => this.#removed(room, code),
      stored: (id, answer) => this.#outbox.stored(id, { is: 'stored', ...answer, at: performance.now(), node }),
      refused: (id, code) => this.#outbox.refused(id, code, performance.now()),
      notYet: (id) => this.#outbox.postpone(id, performance.now()),
      ended: () => this.#ended(performance.now()),
      breach: (what) => this.#breach('protocol', what),
    });
  }

  #lose(how: 'cut' | 'vanish', now: number): void {
    this.#line!.end(how);
    this.#ended(now);
  }

  /** Schedules a reconnection with a growing, random backoff. */
  #ended(now: number): void {
    this.#line = undefined;
    this.#isReady = false;
    this.#dialAt = now + Math.min(1_500, 80 * 2 ** this.#failures) * (0.5 + this.#random.int(100) / 100);
    this.#failures += 1;
    this.#outbox.lineLost();
    for (const place of this.#places) place.lineLost(now);
  }

  #wander(now: number, happens: Happens): void {
    const current = this.#isSelecting ? [] : this.#places.filter(({ isIn, isWanted }) => isIn && isWanted);
    if (current.length > 0 && happens(everMs.write)) {
      const { room } = this.#random.pick(current);
      for (let n = this.#random.chance(0.1) ? 5 : 1; n > 0; n--) this.#outbox.write(room);
    }
    if (this.#part.transport === 'chat') return this.#wanderOnChat(happens);
    for (const place of this.#places) {
      if (place.isWanted && happens(everMs.leave)) place.isWanted = false;
      else if (!place.isWanted && happens(everMs.comeBack)) place.comeBack(this.#random.chance(0.7));
      else if (place.isIn && happens(everMs.joinAgain)) this.#join(place, now);
    }
  }

  /**
   * On /chat a client leaves a room only by selecting another, and it can repeat a message only in the selected room.
   */
  #wanderOnChat(happens: Happens): void {
    const current = this.#places.find(({ isWanted }) => isWanted)!;
    const stuck = current.refusal !== undefined && happens(everMs.comeBack);
    if (this.#places.length < 2 || this.#outbox.size > 0 || !(stuck || happens(everMs.leave))) return;
    current.isWanted = false;
    this.#random.pick(this.#places.filter((place) => place !== current)).comeBack(this.#random.chance(0.7));
  }

  #move(place: Place, now: number): void {
    if (place.isBusy) return;
    const mustJoin = place.mustJoinAgain || !place.isIn;
    if (place.isWanted && mustJoin && now >= place.joinAt) return this.#join(place, now);
    if (place.isWanted || !place.isIn || this.#part.transport === 'chat') return;
    place.ask(now);
    this.#line!.leave(place.room, () => place.left(performance.now()));
  }

  #join(place: Place, now: number): void {
    if (place.isBusy || this.#isSelecting) return;
    const node = this.#node;
    place.ask(now);
    this.#line!.join(place.room, place.cursor, (answer) => this.#joined(place, answer, node));
  }

  #joined(place: Place, answer: JoinAnswer, node: number): void {
    const now = performance.now();
    // A select leaves the previous room even if it fails.
    if (this.#part.transport === 'chat') for (const other of this.#places) if (other !== place) other.left(now);
    const retryAt = now + 300 + this.#random.int(900);
    place.joined(answer, node, now, retryAt);
    if (!answer.ok && place.refusal && this.#part.transport === 'chat') this.#outbox.giveUp(place.room);
  }

  #hear(change: Heard): void {
    const place = this.#places.find(({ room }) => room === change.room);
    if (place) place.hear(change, performance.now());
    else this.#breach('protocol', `heard rev ${change.rev} of room ${change.room}, where it never was`);
  }

  #removed(room: number, code: RemovalCode): void {
    const place = this.#places.find((one) => one.room === room);
    const now = performance.now();
    if (!place?.removed(code, now, now + 300 + this.#random.int(1_200))) {
      this.#breach('protocol', `taken out of room ${room} (${code}), where it is not`);
    }
    if (this.#part.transport === 'chat') this.#outbox.giveUp(room);
  }

  /**
   * On Socket.IO a client can send to a room without having joined it. A duplicate is acknowledged even to a banned
   * user.
   */
  #maySendTo(room: number): boolean {
    if (this.#part.transport === 'socketio') return true;
    return this.#places.some((place) => place.room === room && place.isIn && place.isWanted) && !this.#isSelecting;
  }

  /** On /chat, the server applies messages behind a select to the newly selected room. */
  get #isSelecting(): boolean {
    return this.#part.transport === 'chat' && this.#places.some(({ isBusy }) => isBusy);
  }

  #token(seconds: number): string {
    return withClaims(this.#part.person, { exp: Math.floor(Date.now() / 1_000) + seconds }).token;
  }

  #breach(fault: Violation['fault'], what: string): void {
    this.#evidence.breaches.push({ fault, what: `${this.name} on node ${this.#node + 1}: ${what}` });
  }
}

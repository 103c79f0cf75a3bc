import { setImmediate } from 'node:timers/promises';
import { expect } from 'chai';
import { type Action, ActionQueue, type QueuedAction } from '../../../src/client/action-queue.ts';
import type { ConnectionState, RoomState } from '../../../src/client/api.ts';
import { Connection } from '../../../src/client/connection.ts';
import { Emitter } from '../../../src/client/emitter.ts';
import { ChatClientError, type ClientErrorCode } from '../../../src/client/errors.ts';
import type { LinkEvents } from '../../../src/client/link.ts';
import { MessageList } from '../../../src/client/message-list.ts';
import { Room } from '../../../src/client/room.ts';
import { defaultTimeouts, type RoomConnection, readLimits } from '../../../src/client/room-connection.ts';
import { Subscription } from '../../../src/client/subscription.ts';
import type { ChangeEvent } from '../../../src/client/wire.ts';
import type { Json } from '../../helpers/json.ts';
import { describeStates, isOfMachine, type Machine } from '../../helpers/state-tables.ts';

/** Timers that fire only when a test calls `fireTimer`. */
const timers = new Map<number, { fire: () => void; ms: number }>();
const realTimers = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout };
let onTimer: ((ms: number) => void) | undefined;

function installFakeTimers(): void {
  let next = 1;
  Object.assign(globalThis, {
    setTimeout: (fire: () => void, ms: number) => {
      if (!isOfMachine()) return realTimers.setTimeout(fire, ms);
      timers.set(next, { fire, ms });
      onTimer?.(ms);
      return next++;
    },
    clearTimeout: (id: number) => void (timers.delete(id) || realTimers.clearTimeout(id)),
  });
}

function fireTimer(isMeant: (ms: number) => boolean = () => true): boolean {
  const [id, timer] = [...timers].find(([, { ms }]) => isMeant(ms)) ?? [];
  if (id === undefined) return false;
  timers.delete(id);
  timer!.fire();
  return true;
}

const me = '00000000-0000-0000-0000-00000000000a';
const error = (code: ClientErrorCode, retryAfterMs?: number) => new ChatClientError(code, code, { retryAfterMs });

interface Request {
  name: string;
  payload: Json;
  answer: (error: ChatClientError | undefined, ack?: Json) => void;
}

/** The requests that wait for their answers. */
class FakeRequests {
  readonly pending: Request[] = [];
  readonly #onRequest: (name: string) => void;

  constructor(onRequest: (name: string) => void) {
    this.#onRequest = onRequest;
  }

  request = (name: string, payload: Json, answer: Request['answer']) => {
    this.pending.push({ name, payload, answer });
    this.#onRequest(name);
  };

  /** Answers the latest request of this name. */
  answer(name: string, refusal: ChatClientError | undefined, ack?: Json): boolean {
    const index = this.pending.findLastIndex((request) => request.name === name);
    if (index < 0) return false;
    this.pending.splice(index, 1)[0]!.answer(refusal, ack);
    return true;
  }

  /** Rejects all waiting requests, as a link does when it ends. */
  lose(code: 'UNREACHABLE' | 'CLOSED'): void {
    for (const { answer } of this.pending.splice(0)) answer(error(code));
  }
}

describe('the connection states of the client', () => {
  const checkIntervalMs = 5_000;
  const token = (level: number, sub = me) => `x.${btoa(JSON.stringify({ sub, levelOnEntity: level }))}.x`;

  class FakeLink {
    hasConnected = false;
    hasEnded = false;
    readonly events: LinkEvents;
    readonly requests: FakeRequests;
    readonly request: FakeRequests['request'];
    readonly #onClose: () => void;

    constructor(events: LinkEvents, onRequest: (name: string) => void, onClose: () => void) {
      this.events = events;
      this.requests = new FakeRequests(onRequest);
      this.request = this.requests.request;
      this.#onClose = onClose;
    }

    close(why = error('CLOSED')): void {
      this.#onClose();
      this.end(why);
    }

    end(why: ChatClientError): void {
      this.hasEnded = true;
      this.events.onDisconnect(why);
    }
  }

  class ConnectionMachine implements Machine {
    readonly connection: Connection;
    readonly tokenCalls: { resolve(token: string): void; reject(error: Error): void }[] = [];
    link: FakeLink | undefined;
    areOptionsRejected = false;
    #actions: string[] = [];
    #states: ConnectionState[] = [];
    #publicState: ConnectionState = 'connecting';

    constructor() {
      const act = (action: string) => void this.#actions.push(action);
      const options = {
        url: 'http://localhost',
        user: me,
        token: () => {
          act('call the token function');
          const { promise, resolve, reject } = Promise.withResolvers<string>();
          this.tokenCalls.push({ resolve, reject });
          return promise;
        },
      };
      this.connection = new Connection(
        options,
        {
          onState: (state) => void this.#states.push(state),
          onError: () => act('report the error'),
          onConnect: () => act('join the rooms'),
          onDisconnect: () => act('mark the rooms as reconnecting'),
          onUnauthorized: () => act('reject waiting joins'),
          onClaimsChanged: () => act('refresh the rights'),
          onEvent: () => act('pass it to the rooms'),
          onFrame: () => {},
        },
        (_options, _timeouts, events) => {
          if (this.areOptionsRejected) throw new Error('unknown transport');
          act('open a link');
          const close = () => act('close the link');
          this.link = new FakeLink(events, (name) => act(`request \`${name}\``), close);
          return this.link as Json;
        },
      );
      onTimer = (ms) => {
        if (!this.connection.link || ms === defaultTimeouts.tokenMs) return;
        act(ms <= checkIntervalMs ? 'schedule a check' : 'schedule a refresh');
      };
    }

    state(): string {
      const { state } = this.connection;
      if (state !== 'connecting') return state;
      if (this.link?.hasEnded === false) return 'connecting: link';
      return this.#hasBackoff() ? 'connecting: backoff' : 'connecting: token';
    }

    takeActions(): string[] {
      const { state } = this.connection;
      expect(this.#states.splice(0).at(-1) ?? this.#publicState, 'the state event').to.equal(state);
      this.#publicState = state;
      return this.#actions.splice(0);
    }

    async connectTo(level = 1): Promise<void> {
      await this.requestToken();
      await this.returnToken(level);
      this.link!.hasConnected = true;
      this.link!.events.onConnect();
    }

    async requestToken(): Promise<void> {
      this.connection.connect();
      await setImmediate();
    }

    async returnToken(level = 1, user = me): Promise<boolean> {
      const call = this.tokenCalls.shift();
      call?.resolve(token(level, user));
      await setImmediate();
      return call !== undefined;
    }

    async failToken(): Promise<boolean> {
      const call = this.tokenCalls.shift();
      call?.reject(new Error('the backend is down'));
      await setImmediate();
      return call !== undefined;
    }

    /** The service refuses only links that are being opened. */
    refuse(why: ChatClientError): boolean {
      if (!this.link || this.link.hasEnded || this.link.hasConnected) return false;
      this.link.end(why);
      return true;
    }

    lose(why: ChatClientError): boolean {
      if (!this.link || this.link.hasEnded) return false;
      this.link.end(why);
      return true;
    }

    receive(name: string, payload: object): boolean {
      if (!this.link?.hasConnected || this.link.hasEnded) return false;
      this.link.events.onEvent(name, payload as never);
      return true;
    }

    async elapse(): Promise<boolean> {
      const hasFired = fireTimer((ms) => ms !== defaultTimeouts.tokenMs);
      await setImmediate();
      return hasFired;
    }

    #hasBackoff = () => [...timers.values()].some(({ ms }) => ms !== defaultTimeouts.tokenMs);
  }

  const notValidYet = error('UNAUTHENTICATED', 5_000);
  const beforeEvent: Record<string, (machine: ConnectionMachine) => Promise<void>> = {
    async 'the browser wakes up before a draining server may be asked again'(machine) {
      await machine.connectTo();
      machine.receive('server:draining', { reconnect_after_ms: 60_000 });
      machine.lose(error('UNREACHABLE'));
    },
    async 'the service rejects the token, for the third time in a row'(machine) {
      for (let n = 1; n <= 2; n++) {
        await machine.requestToken();
        await machine.returnToken();
        machine.refuse(error('TOKEN_EXPIRED'));
      }
    },
    async 'the token function returns a token, socket.io-client rejects the options'(machine) {
      machine.areOptionsRejected = true;
    },
  };
  /** Further steps of a live connection. */
  const refreshSteps: Record<string, number> = {
    'the refresh is due': 1,
    'the refresh gets a token': 2,
    'the refresh gets no token': 2,
    'the refresh gets a token of another user': 2,
    'the service accepts a refresh with the same claims': 3,
    'the service accepts a refresh with other claims': 4,
    'the service refuses a refresh': 3,
  };
  /** How often a live connection has woken up. */
  const wakeUps: Record<string, number> = {
    'the browser wakes up within 5 s of the last check': 1,
    'the interval between two checks elapses': 2,
    'the check is answered': 1,
    'the check is refused': 1,
    'the check is not answered within 3 s': 1,
    'the check is not answered within 3 s, before a draining server may be asked again': 1,
  };
  const answerCheck = (machine: ConnectionMachine, refusal?: ChatClientError) =>
    machine.link?.requests.answer('connection:check', refusal, {}) ?? false;
  const answerRefresh = (machine: ConnectionMachine, refusal?: ChatClientError) =>
    machine.link?.requests.answer('token:refresh', refusal, {}) ?? false;

  installAround();
  describeStates<ConnectionMachine>({
    name: 'Connection',
    create: () => new ConnectionMachine(),
    states: {
      async 'connecting: token'(machine, event) {
        await beforeEvent[event]?.(machine);
        await machine.requestToken();
      },
      async 'connecting: link'(machine, event) {
        await beforeEvent[event]?.(machine);
        await machine.requestToken();
        await machine.returnToken();
      },
      async 'connecting: backoff'(machine, event) {
        await beforeEvent[event]?.(machine);
        await machine.requestToken();
        await machine.returnToken();
        machine.refuse(
          event === 'the backoff elapses, the next token was not valid yet' ? notValidYet : error('TIMEOUT'),
        );
      },
      async connected(machine, event) {
        await beforeEvent[event]?.(machine);
        await machine.connectTo();
        const steps = refreshSteps[event] ?? 0;
        if (steps >= 1) machine.receive('token:expiring', { in_ms: 60_000 });
        if (steps >= 2) await machine.elapse();
        if (steps >= 3) await machine.returnToken(steps === 4 ? 2 : 1);
        for (let n = 0; n < (wakeUps[event] ?? 0); n++) machine.connection.wake();
        if (event.includes('3 s, before')) machine.receive('server:draining', { reconnect_after_ms: 60_000 });
      },
      async unauthorized(machine, event) {
        await beforeEvent[event]?.(machine);
        await machine.requestToken();
        await machine.returnToken();
        machine.refuse(error('BAD_REQUEST'));
      },
      async closed(machine, event) {
        await beforeEvent[event]?.(machine);
        await machine.requestToken();
        machine.connection.close();
      },
    },
    events: {
      '`connect()` is called': ({ connection }) => {
        connection.connect();
        return true;
      },
      '`close()` is called': ({ connection }) => {
        connection.close();
        return true;
      },
      'the browser wakes up': ({ connection }) => {
        connection.wake();
        return true;
      },
      'the browser wakes up before a draining server may be asked again': ({ connection }) => {
        connection.wake();
        return true;
      },
      'the browser wakes up within 5 s of the last check': ({ connection }) => {
        if (!connection.link) return false;
        connection.wake();
        return true;
      },
      'the interval between two checks elapses': ({ connection }) =>
        connection.link !== undefined && fireTimer((ms) => ms <= checkIntervalMs),
      'the check is answered': (machine) => answerCheck(machine),
      'the check is refused': (machine) => answerCheck(machine, error('BAD_REQUEST')),
      'the check is not answered within 3 s': (machine) => answerCheck(machine, error('TIMEOUT')),
      'the check is not answered within 3 s, before a draining server may be asked again': (machine) =>
        answerCheck(machine, error('TIMEOUT')),
      'the token function returns a token': (machine) => machine.returnToken(),
      'the token function returns a token, socket.io-client rejects the options': (machine) => machine.returnToken(),
      'the token function returns a token of another user': (machine) =>
        machine.state() !== 'connected' && machine.returnToken(1, 'another user'),
      'the token function fails': (machine) => machine.failToken(),
      'the link connects': ({ link }) => {
        if (!link || link.hasEnded || link.hasConnected) return false;
        link.hasConnected = true;
        link.events.onConnect();
        return true;
      },
      'the link is lost': (machine) => machine.lose(error('UNREACHABLE')),
      'another server answers at the URL': (machine) => machine.refuse(error('WRONG_SERVER')),
      'the first link is slow, and another server or nothing answers at the URL': ({ link }) => {
        if (!link || link.hasEnded || link.hasConnected) return false;
        link.events.onSlow(error('UNREACHABLE'));
        return true;
      },
      'the service refuses the link for now': (machine) => machine.refuse(error('UNAVAILABLE')),
      'the service rejects the token, for the first or second time in a row': (machine) =>
        machine.refuse(error('UNAUTHENTICATED')),
      'the service rejects the token, for the third time in a row': (machine) =>
        machine.refuse(error('UNAUTHENTICATED')),
      'the token is not valid yet': (machine) => machine.refuse(notValidYet),
      'the token is revoked': (machine) => machine.lose(error('TOKEN_REVOKED')),
      'the service refuses the link for another reason': (machine) => machine.refuse(error('BAD_REQUEST')),
      'the backoff elapses': (machine) => machine.elapse(),
      'the backoff elapses, the next token was not valid yet': (machine) => machine.elapse(),
      '`token:expiring` arrives': (machine) => machine.receive('token:expiring', { in_ms: 60_000 }),
      'the refresh is due': (machine) => machine.state() === 'connected' && machine.elapse(),
      'the refresh gets a token': (machine) => machine.state() === 'connected' && machine.returnToken(),
      'the refresh gets no token': (machine) => machine.state() === 'connected' && machine.failToken(),
      'the refresh gets a token of another user': (machine) =>
        machine.state() === 'connected' && machine.returnToken(1, 'another user'),
      'the service accepts a refresh with the same claims': (machine) => answerRefresh(machine),
      'the service accepts a refresh with other claims': (machine) => answerRefresh(machine),
      'the service refuses a refresh': (machine) => answerRefresh(machine, error('UNAUTHENTICATED')),
      'an event of a room arrives': (machine) => machine.receive('message:new', { room_id: 7 }),
    },
  });
});

const cursorOf = (rev: number) => `7.${rev}`;
const positionOf = (rev: number) => ({ room_id: 7, rev, cursor: cursorOf(rev) });
const messageOf = (rev: number) => ({ seq: rev, content: `${rev}`, client_msg_id: null });
const newMessage = (rev: number): ChangeEvent =>
  ({ name: 'message:new', payload: { ...messageOf(rev), ...positionOf(rev) } }) as Json;
const memberChange = (rev: number, entity_UUID = me): ChangeEvent =>
  ({ name: 'member:changed', payload: { ...positionOf(rev), entity_UUID, kind: 'user', permissions: 'r' } }) as Json;

/** The acknowledgement of a join at this `rev`, for a client that has everything up to it or must load a page. */
const joinAck = (rev: number, more: object = {}): Json => ({
  ...{ room: { id: 7, name: 'a room', level_admin: 100, last_seq: rev }, rights: 'rw', ...positionOf(rev) },
  ...{ recovered: false, events: [], ...more },
});
const removal = { room_id: 7, code: 'BANNED' } as never;
const pageAck = (rev: number): Json => ({ messages: [messageOf(rev)], has_more: true });

function roomConnection(link: FakeRequests): RoomConnection {
  const limits = readLimits({ url: '', token: () => '' });
  const claims = { user: me, entity: undefined, level: '0' };
  return { limits, state: 'connected', refusal: undefined, link, claims } as Json;
}

describe('the room states of the client', () => {
  class RoomMachine implements Machine {
    readonly requests = new FakeRequests((name) =>
      this.#act(name === 'message:send' ? 'send the outbox' : `request \`${name}\``),
    );
    readonly connection = roomConnection(this.requests) as {
      -readonly [key in keyof RoomConnection]: RoomConnection[key];
    };
    room!: Room;
    #actions: string[] = [];
    #states: RoomState[] = [];
    #publicState: RoomState = 'idle';

    #act(action: string): void {
      this.#actions.push(action);
    }

    /** With a message in the outbox that is never answered, and with listeners that do not keep the room joined. */
    open(): void {
      this.createIdle();
      this.room.rejoin();
    }

    createIdle(): void {
      this.room = new Room(this.connection, 7, { onLeft: () => this.#act('leave on the server'), onOwnState() {} });
      const listen: Room['on'] = (event, listener) => Emitter.prototype.on.call(this.room, event, listener as never);
      listen('state', (state) => void this.#states.push(state));
      for (const event of ['message', 'member', 'reset'] as const) listen(event, () => this.#act(`emit \`${event}\``));
      listen('outgoing', ({ state }) => state === 'failed' && this.#act('fail the outbox'));
      this.room.send('pending');
    }

    openOffline(): void {
      this.connection.link = undefined;
      this.open();
    }

    state(): string {
      const { state } = this.room;
      if (state !== 'joining') return state;
      return this.connection.link ? 'joining: online' : 'joining: offline';
    }

    takeActions(): string[] {
      const { state } = this.room;
      expect(this.#states.splice(0).at(-1) ?? this.#publicState, 'the state event').to.equal(state);
      this.#publicState = state;
      return this.#actions.splice(0);
    }

    /** Watches `joined()` if it can still settle. */
    watchJoined(): void {
      if (!this.room.isWanted || this.room.state === 'joined') return;
      this.room.joined().then(
        () => this.#act('resolve `joined()`'),
        () => this.#act('reject `joined()`'),
      );
    }

    join(rev = 0): void {
      this.requests.answer('room:join', undefined, joinAck(rev, { recovered: this.room.info !== undefined }));
    }

    loseConnection(): boolean {
      if (!this.connection.link) return false;
      this.connection.link = undefined;
      this.room.onDisconnect();
      this.requests.lose('UNREACHABLE');
      return true;
    }

    /** Only a live connection delivers events. */
    receive(deliver: () => void): boolean {
      if (!this.connection.link) return false;
      deliver();
      return true;
    }

    get isWantedOnline(): boolean {
      return this.room.isWanted && this.connection.link !== undefined;
    }
  }

  /** A joined room joins again when its rights may have changed. */
  const needsPendingJoin = (event: string) =>
    /while a join is pending|accepts the join|refuses the join|more was missed/.test(event);
  const withoutPendingJoin = '`room:removed` arrives while no join is pending';
  const afterRemoval = /after `room:removed`/;
  const whileOffline = '`rejoin()` is called without a connection';
  const reconnects = 'the client connects';
  const afterLastListener = '5 s pass after the last listener';

  /** A step between the state and the event. */
  function prepare(machine: RoomMachine, event: string): void {
    const { room, requests } = machine;
    if (room.state === 'joined' && needsPendingJoin(event)) room.onClaimsChanged();
    if (afterRemoval.test(event)) room.onEvent('room:removed', removal);
    // The join is accepted, and the page of history is still missing.
    if (room.state === 'joining' && event === withoutPendingJoin) requests.answer('room:join', undefined, joinAck(3));
    const isOut = ['idle', 'rejected', 'removed', 'left'].includes(room.state);
    if (isOut && (event === whileOffline || event === reconnects || event === 'the client becomes unauthorized')) {
      machine.loseConnection();
    }
    // A pending call counts as a listener.
    if (event !== afterLastListener) machine.watchJoined();
  }

  const answerJoin = (refusal: ChatClientError | undefined, ack?: Json) => (machine: RoomMachine) =>
    machine.requests.answer('room:join', refusal, ack ?? joinAck(0, { recovered: machine.room.info !== undefined }));
  const hasPendingJoin = ({ requests }: RoomMachine) => requests.pending.some(({ name }) => name === 'room:join');

  installAround();
  describeStates<RoomMachine>({
    name: 'Room',
    create: () => new RoomMachine(),
    states: {
      async idle(machine, event) {
        machine.createIdle();
        prepare(machine, event);
      },
      async 'joining: offline'(machine, event) {
        machine.openOffline();
        prepare(machine, event);
      },
      async 'joining: online'(machine, event) {
        machine.open();
        prepare(machine, event);
      },
      async joined(machine, event) {
        machine.open();
        machine.join();
        prepare(machine, event);
      },
      async reconnecting(machine, event) {
        machine.open();
        machine.join();
        machine.loseConnection();
        prepare(machine, event);
      },
      async rejected(machine, event) {
        machine.open();
        machine.requests.answer('room:join', error('NOT_FOUND'));
        prepare(machine, event);
      },
      async removed(machine, event) {
        machine.open();
        machine.join();
        machine.room.onEvent('room:removed', removal);
        prepare(machine, event);
      },
      async left(machine, event) {
        // Its join is never answered.
        machine.open();
        machine.room.leave();
        prepare(machine, event);
      },
    },
    events: {
      'the first listener is added'({ room }) {
        room.on('message', () => {});
        return true;
      },
      [afterLastListener]: () => fireTimer((ms) => ms === 5_000),
      'the client connects'(machine) {
        if (machine.isWantedOnline) return false;
        machine.connection.link = machine.requests;
        machine.room.onConnect();
        return true;
      },
      'the connection is lost': (machine) => machine.loseConnection(),
      'the client becomes unauthorized'(machine) {
        if (machine.isWantedOnline) return false;
        machine.room.onUnauthorized(error('UNAUTHENTICATED'));
        return true;
      },
      'the service accepts the join': answerJoin(undefined),
      'the service refuses the join': answerJoin(error('NOT_FOUND')),
      'the service refuses the join for now': answerJoin(error('UNAVAILABLE')),
      '`room:removed` arrives while a join is pending'(machine) {
        if (!hasPendingJoin(machine)) return false;
        return machine.receive(() => machine.room.onEvent('room:removed', removal));
      },
      'the service accepts the join after `room:removed`': answerJoin(undefined),
      'the service refuses the join after `room:removed`': answerJoin(error('BANNED')),
      '`room:removed` arrives while no join is pending': (machine) =>
        machine.receive(() => machine.room.onEvent('room:removed', removal)),
      'more was missed than the server replays'(machine) {
        if (!answerJoin(undefined, joinAck(900))(machine)) return false;
        machine.requests.answer('message:history', undefined, pageAck(900));
        return true;
      },
      'the next message arrives': (machine) => machine.receive(() => machine.room.handle(newMessage(1))),
      'a rule of the user changes': (machine) => machine.receive(() => machine.room.handle(memberChange(1))),
      'a rule of another user changes': (machine) =>
        machine.receive(() => machine.room.handle(memberChange(1, '00000000-0000-0000-0000-00000000000b'))),
      'the claims of the token change': (machine) => machine.receive(() => machine.room.onClaimsChanged()),
      '`rejoin()` is called'({ room }) {
        room.rejoin();
        return true;
      },
      '`rejoin()` is called without a connection'({ room, connection }) {
        if (connection.link) return false;
        room.rejoin();
        return true;
      },
      '`leave()` is called'({ room }) {
        room.leave();
        return true;
      },
      'the client is closed'(machine) {
        machine.connection.state = 'closed';
        machine.connection.link = undefined;
        machine.requests.lose('CLOSED');
        machine.room.close();
        return true;
      },
    },
  });
});

describe('the subscription states of the client', () => {
  class SubscriptionMachine implements Machine {
    readonly requests = new FakeRequests((name) => this.#actions.push(`request \`${name}\``));
    readonly connection = roomConnection(this.requests) as {
      -readonly [key in keyof RoomConnection]: RoomConnection[key];
    };
    readonly subscription = new Subscription(this.connection, 7, {
      createList: (before) =>
        new MessageList({ connection: this.connection, ref: 7, before, show: (message) => message, onChanged() {} }),
      onChange: ({ name }) => this.#actions.push(`deliver the ${name === 'message:new' ? 'message' : 'change'}`),
      onAcknowledged() {},
      onJoined: (_joined, isNew) => this.#actions.push(isNew ? 'report a new timeline' : 'report joined'),
      onRejected: () => this.#actions.push('report rejected'),
    });
    #actions: string[] = [];
    constructor() {
      this.subscription.join();
      this.requests.answer('room:join', undefined, joinAck(0));
    }

    /** The position of the log that the timeline has reached. A new timeline starts at the position of the join. */
    get rev(): number {
      return this.subscription.state === 'loading' ? 3 : 0;
    }

    state(): string {
      return this.subscription.state;
    }

    takeActions(): string[] {
      return this.#actions.splice(0);
    }
  }

  /** Drops the pending request for a page, because its answer no longer matters. */
  function abandonPage({ subscription, requests }: SubscriptionMachine): void {
    subscription.join();
    requests.answer('room:join', undefined, joinAck(2));
    subscription.stop();
  }

  function abandonJoin({ subscription }: SubscriptionMachine): void {
    subscription.join();
    subscription.stop();
  }

  const answer =
    (name: 'room:join' | 'message:history', refusal: ChatClientError | undefined, ack?: Json) =>
    ({ requests }: SubscriptionMachine) =>
      requests.answer(name, refusal, ack);
  const replayed = joinAck(1, { recovered: true, events: [memberChange(1)] });
  const recovered = joinAck(0, { recovered: true });

  installAround();
  describeStates<SubscriptionMachine>({
    name: 'Subscription',
    create: () => new SubscriptionMachine(),
    states: {
      async idle(machine) {
        abandonPage(machine);
        abandonJoin(machine);
      },
      async joining(machine, event) {
        abandonPage(machine);
        machine.subscription.join();
        if (event === 'the join is accepted, `join()` was called meanwhile') machine.subscription.join();
      },
      async loading(machine, event) {
        abandonJoin(machine);
        machine.subscription.join();
        machine.requests.answer('room:join', undefined, joinAck(3));
        if (event === 'the page arrives, a change was buffered') machine.subscription.handle(memberChange(4));
      },
      async waiting(machine) {
        abandonPage(machine);
        abandonJoin(machine);
        machine.subscription.join();
        machine.requests.answer('room:join', error('UNAVAILABLE'));
      },
    },
    events: {
      '`join()` is called'({ subscription }) {
        subscription.join();
        return true;
      },
      '`join()` is called without a connection'({ subscription, connection }) {
        connection.link = undefined;
        subscription.join();
        return true;
      },
      '`stop()` is called'({ subscription }) {
        subscription.stop();
        return true;
      },
      'the join is accepted, the missed changes are replayed': answer('room:join', undefined, replayed),
      'the join is accepted, `join()` was called meanwhile': answer('room:join', undefined, recovered),
      'the join is accepted, too much was missed': answer('room:join', undefined, joinAck(900)),
      'the join is accepted, too much was missed, the room is empty': answer('room:join', undefined, joinAck(0)),
      'the join is refused': answer('room:join', error('NOT_FOUND')),
      'the join is refused for now': answer('room:join', error('UNAVAILABLE')),
      'the join is lost with the connection': answer('room:join', error('UNREACHABLE')),
      'the page arrives': answer('message:history', undefined, pageAck(3)),
      'the page arrives, a change was buffered': (machine) =>
        machine.state() === 'loading' && answer('message:history', undefined, pageAck(3))(machine),
      'the page is refused': answer('message:history', error('NOT_FOUND')),
      'the page is refused for now': answer('message:history', error('UNAVAILABLE')),
      'the page is lost with the connection': answer('message:history', error('UNREACHABLE')),
      'the next message arrives'({ subscription, rev }) {
        subscription.handle(newMessage(rev + 1));
        return true;
      },
      'the next change of another kind arrives'({ subscription, rev }) {
        subscription.handle(memberChange(rev + 1));
        return true;
      },
      'a known change arrives'({ subscription, rev }) {
        subscription.handle(newMessage(rev));
        return true;
      },
      'a change arrives after a gap'({ subscription, rev }) {
        subscription.handle(newMessage(rev + 2));
        return true;
      },
      'a message is acknowledged before the changes in front of it arrive'({ subscription, rev }) {
        subscription.handle(newMessage(rev + 2), { isOrdered: false });
        return true;
      },
      'the backoff elapses': () => fireTimer(),
    },
  });
});

describe('the states of a change of the client', () => {
  class ChangeMachine implements Machine {
    readonly requests = new FakeRequests((name) => this.#actions.push(`request \`${name}\``));
    readonly connection = roomConnection(this.requests) as {
      -readonly [key in keyof RoomConnection]: RoomConnection[key];
    };
    isReady = false;
    readonly queue = new ActionQueue(this.connection, { isReady: () => this.isReady, onChanged() {} });
    readonly change = this.createEdit();
    readonly operation: QueuedAction = this.queue.add(this.change);
    #actions: string[] = [];

    createEdit(): Action {
      return {
        ...{ name: 'message:edit', key: 'edit 1', seqs: [1] },
        toPayload: () => ({ room_id: 7, seq: 1, content: 'edited' }),
        confirm: () => this.#actions.push('apply the answer'),
      };
    }

    state(): string {
      const { state, isSending, backoff } = this.operation;
      if (state !== 'pending') return state;
      if (!this.queue.has(this.operation)) return 'overtaken';
      return isSending ? 'sending' : backoff.isWaiting ? 'backoff' : 'waiting';
    }

    takeActions(): string[] {
      return this.#actions.splice(0);
    }

    send(): void {
      this.isReady = true;
      this.queue.sendNext();
    }
  }

  const answer =
    (refusal?: ChatClientError) =>
    ({ requests }: ChangeMachine) =>
      requests.answer('message:edit', refusal, {});
  const sent = async (machine: ChangeMachine, refusal?: ChatClientError) => {
    machine.send();
    answer(refusal)(machine);
  };

  installAround();
  describeStates<ChangeMachine>({
    name: 'Change',
    create: () => new ChangeMachine(),
    states: {
      async waiting() {},
      sending: async (machine) => machine.send(),
      backoff: (machine) => sent(machine, error('UNAVAILABLE')),
      sent: (machine) => sent(machine),
      failed: (machine) => sent(machine, error('FORBIDDEN')),
    },
    events: {
      'the room has applied what it missed'(machine) {
        machine.send();
        return true;
      },
      'the service accepts the change': answer(),
      'the service refuses the change': answer(error('FORBIDDEN')),
      'the service refuses the change for now': answer(error('UNAVAILABLE')),
      'the backoff elapses': () => fireTimer(),
      'the connection is lost'(machine) {
        machine.connection.link = undefined;
        machine.isReady = false;
        machine.requests.lose('UNREACHABLE');
        return true;
      },
      'the user edits the message again'(machine) {
        machine.queue.add(machine.createEdit());
        return true;
      },
      'the user deletes the message'(machine) {
        machine.queue.add({ ...machine.createEdit(), name: 'message:delete', key: 'delete 1' } as Action);
        return true;
      },
      '`retry()` is called'({ operation }) {
        operation.retry();
        return true;
      },
      'the client is closed'({ queue }) {
        queue.close();
        return true;
      },
    },
  });
});

function installAround(): void {
  beforeEach(() => installFakeTimers());
  afterEach(() => {
    Object.assign(globalThis, realTimers);
    onTimer = undefined;
    timers.clear();
  });
}

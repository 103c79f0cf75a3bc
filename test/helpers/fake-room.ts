import { expect } from 'chai';
import type { RoomEvents } from '../../src/client/api.ts';
import type { ChatClientError } from '../../src/client/errors.ts';
import { Room } from '../../src/client/room.ts';
import { type RoomConnection, readLimits } from '../../src/client/room-connection.ts';
import type { ChangeEvent } from '../../src/client/wire.ts';
import type { Json } from './json.ts';
import { waitUntil } from './wait-until.ts';

export interface Request {
  name: string;
  payload: Json;
  answer(error: ChatClientError | undefined, ack?: Json): void;
}

export const me = '00000000-0000-0000-0000-00000000000a';
export const other = '00000000-0000-0000-0000-00000000000b';
const createdAt = '2026-01-01T00:00:00.000Z';
export const info = { id: 7, name: 'a room', level_admin: 100, last_seq: 0 };
export const cursorOf = (rev: number) => `7.${rev}`;

export function message(seq: number, content = `${seq}`, client_msg_id: string | null = null): Json {
  return {
    ...{ id: seq, room_id: 7, seq, emitter: me, content, client_msg_id },
    createdAt,
    updatedAt: createdAt,
    version: seq,
  };
}

export const newMessage = (rev: number, ...[seq, content, id]: Parameters<typeof message>): ChangeEvent => ({
  name: 'message:new',
  payload: { ...message(seq, content, id), rev, cursor: cursorOf(rev) },
});

export const memberChanged = (rev: number, entity_UUID: string, kind = 'user'): ChangeEvent => ({
  name: 'member:changed',
  payload: { room_id: 7, rev, cursor: cursorOf(rev), entity_UUID, kind, permissions: 'r', level: 0 } as Json,
});

export const joined = (rev: number, more: object = {}) => ({
  ...{ room: { ...info, last_seq: rev }, rights: 'rw', rev, cursor: cursorOf(rev), recovered: false, events: [] },
  ...more,
});

/** A room on a fake connection: the test answers its requests. */
export function createFakeRoom({
  keep = 1_000,
  maxOutbox = 1_000,
  onOwnState = (_room: Room, _ack?: object) => {},
} = {}) {
  const requests: Request[] = [];
  const link = {
    request: (name: string, payload: object, answer: Request['answer']) => requests.push({ name, payload, answer }),
  };
  const limits = readLimits({ url: '', token: () => '', keep, maxOutbox, timeouts: { backoffMs: 1 } });
  const connection = { limits, state: 'connected', link, claims: { user: me } };
  const room = new Room(connection as unknown as RoomConnection, 7, { onLeft() {}, onOwnState });
  room.rejoin();
  const emitted: string[] = [];
  const record = <E extends keyof RoomEvents>(event: E, format: (payload: RoomEvents[E]) => unknown) =>
    room.on(event, (payload) => void emitted.push(`${event} ${format(payload)}`));
  record('message', ({ content }) => content);
  record('state', (state) => state);
  record('reset', () => room.messages.length);
  let updates = 0;
  room.on('change', () => void updates++);
  record('outgoing', ({ content, state }) => `${content} ${state}`);
  return {
    ...{ room, connection, emitted, requests },
    updates: () => updates,
    contents: () => room.messages.map(({ content }) => content),
    /** Takes the next request. */
    async next(expected: string): Promise<Request> {
      await waitUntil(`${expected} is requested`, () => requests.length > 0);
      const request = requests.shift()!;
      expect(request.name).to.equal(expected);
      return request;
    },
    /** Joins the room, which has no messages yet. */
    async join() {
      (await this.next('room:join')).answer(undefined, joined(0));
      emitted.length = 0;
      return this;
    },
  };
}

import { expect } from 'chai';
import type { Actor } from '../../src/core/authorization.ts';
import type { RoomId } from '../../src/core/ids.ts';
import type { Store } from '../../src/database/store.ts';
import { type Crowds, createCrowds, readItems } from '../../src/features/inbox/read-items.ts';
import type { Reader, RoomReading } from '../../src/features/inbox/room-reading.ts';
import type { Json } from '../helpers/json.ts';
import { postgres, startNode } from '../helpers/node.ts';
import { freshDatabase } from '../helpers/postgres.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoomWithOwner, putRule, sendMessages } from '../helpers/rooms.ts';
import { type SocketClient, socketClient } from '../helpers/socket-client.ts';
import { openPostgresStore, toQuery } from '../helpers/stores.ts';
import { createUser, type TestUser } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const toActor = ({ user, entity, level }: TestUser): Actor => ({ user, entity, level, mayCreateRooms: false });

describe('The items of a room with a crowd', () => {
  let url: string;
  let store: Store;
  let owner: TestUser;
  let colleague: TestUser;
  let room: Json;
  let people: TestUser[];
  let sender: SocketClient;
  let marker: SocketClient;
  let crowds: Crowds;

  before(async function () {
    this.timeout(60_000);
    const DATABASE_URL = await freshDatabase();
    url = (await startNode(postgres, { DATABASE_URL, SEND_RATE: 0, READ_RATE: 0, RULE_RATE: 0 })).url;
    store = await openPostgresStore(DATABASE_URL);
    ({ owner, room } = await createRoomWithOwner(url, { max_entity_rules: 50 }));
    people = await Promise.all(Array.from({ length: 12 }, () => createMember(url, owner, room)));
    colleague = createUser();
    await putRule(url, owner, room, { entityUUID: colleague.entity, permissions: 'r', level: 0 });
    people.push(owner, colleague);
    [sender, marker] = await Promise.all([socketClient(url, owner), socketClient(url, people[3]!)]);
    await sendMessages(url, owner, room, 'one', 'two');
    await firstSee(colleague);
    await sendMessages(url, people[5]!, room, 'three');
    crowds = createCrowds();
    await read();
  });

  /** The first request of a user. What is sent afterwards counts as unread. */
  async function firstSee({ user, token }: TestUser): Promise<void> {
    await rest(url, token).get('/rooms');
    await waitUntil('the service has seen the user', async () => {
      const rows = await store.query(toQuery('select 1 from users_seen where user_uuid = $1::uuid'), [user]);
      return rows.length > 0;
    });
  }

  /** Reads the room for the people, and compares each item with one that is read for its user alone. */
  async function read(readers = people): Promise<RoomReading> {
    const toWanted = (some: readonly Reader[]) => new Map<RoomId, readonly Reader[]>([[room.id, some]]);
    const reading = (await readItems(store, toWanted(readers), crowds)).get(room.id)!;
    for (const person of readers) {
      const alone = (await readItems(store, toWanted([person]))).get(room.id)!;
      expect(reading.decide(toActor(person))).to.deep.equal(alone.decide(toActor(person)));
      expect(reading.toItem(toActor(person))).to.deep.equal(alone.toItem(toActor(person)));
      for (const grantee of [person.user, person.entity])
        expect(reading.concerns(grantee)).to.equal(alone.concerns(grantee));
    }
    return reading;
  }

  async function request(
    name: Parameters<SocketClient['request']>[0],
    payload: object,
    socket = sender,
  ): Promise<void> {
    expect(await socket.request(name, { room_id: room.id, ...payload })).to.include({ ok: true });
  }

  const send = (message: object) => request('message:send', { content: 'hello', ...message });

  it('are read from what is new after messages, mentions, replies, marks and settings', async () => {
    const known = await read();
    const steps = [
      () => sendMessages(url, owner, room, 'four', 'five'),
      () => sendMessages(url, people[1]!, room, 'from a reader'),
      () => send({ silent: true }),
      () => send({ thread: 1, mentions: [people[2]!.user] }),
      () => send({ mentions: [colleague.entity, colleague.user, people[2]!.user], mention_room: true }),
      () => send({ silent: true, mentions: [people[4]!.user] }),
      () => request('read:mark', { seq: 4 }, marker),
      () => request('read:mark', { seq: 0, force: true }, marker),
      () => request('room:personal', { muted: true, hidden: true }, marker),
      () => send({}),
      () => request('read:mark', { seq: 7 }, marker),
    ];
    for (const step of steps) {
      await step();
      expect(await read()).to.equal(known);
      expect(await read(people.slice(0, 5))).to.equal(known);
    }
    const item = known.toItem(toActor(people[2]!))!;
    expect(item).to.include({ unread: 8, unread_mentions: 2 });
  });

  it('are read from what is new for readers who were not asked for before', async () => {
    const [late, visitor] = [createUser({ entity: colleague.entity }), createUser({ entity: colleague.entity })];
    await firstSee(late);
    const known = await read();
    await send({ mentions: [late.user] });
    people.push(late, visitor);
    expect(await read()).to.equal(known);
    expect(known.toItem(toActor(late))).to.include({ unread_mentions: 1 });
    await send({ mentions: [late.user, visitor.user] });
    expect(await read()).to.equal(known);
    expect(known.toItem(toActor(late))).to.include({ unread: 2, unread_mentions: 2 });
  });

  for (const [change, apply] of [
    ['an edit', () => request('message:edit', { seq: 5, content: 'edited' })],
    ['a deletion', () => request('message:delete', { seqs: [4] })],
    ['a reaction', () => request('reaction:add', { seq: 2, emoji: '👍' })],
    ['another name', () => rest(url, owner.token).patch(`/rooms/${room.id}`, { name: 'renamed' })],
    ['a ban', () => putRule(url, owner, room, { userUUID: people[6]!.user, permissions: 'b' })],
    ['the end of a rule', () => rest(url, owner.token).delete(`/rooms/${room.id}/members/${people[7]!.user}`)],
    ['an answer', () => rest(url, people[8]!.token).put(`/rooms/${room.id}/invitation`, { accepted: false })],
    ['a rule of the organisation', () => putRule(url, owner, room, { entityUUID: colleague.entity, permissions: 'b' })],
  ] as const) {
    it(`are read anew after ${change}`, async () => {
      await send({});
      const known = await read();
      await apply();
      await send({});
      expect(await read()).to.not.equal(known);
    });
  }

  /** Stores messages of the emitters in turn, without the service. */
  async function insertMessages(count: number, ...emitters: TestUser[]): Promise<void> {
    const users = emitters.map(({ user }) => user);
    await store.query(
      toQuery(`with moved as (
          update rooms set last_seq = last_seq + $2::int, last_rev = last_rev + $2::int where id = $1::bigint
          returning id, last_seq - $2::int as last_seq, last_rev - $2::int as last_rev
        )
        insert into messages (room_id, seq, rev, emitter, content, created_at, updated_at)
        select id, last_seq + n, last_rev + n, ($3::uuid[])[1 + n % cardinality($3::uuid[])], 'hello', now(), now()
        from moved, generate_series(1, $2::int) n`),
      [room.id, count, users],
    );
  }

  it('are read anew if the previous reading is older than the window of unread messages', async () => {
    const known = await read();
    await insertMessages(501, owner);
    expect(await read()).to.not.equal(known);
  });

  it('keep their counts in a long conversation', async () => {
    const known = await read();
    for (const unread of [150, 70, 20]) {
      await insertMessages(400, people[1]!, people[2]!);
      const seq = known.lastSeq + 400 - unread;
      await request('read:mark', { seq }, marker);
      await request('read:mark', { seq: seq - 5 });
      expect(await read()).to.equal(known);
    }
    expect(known.toItem(toActor(people[3]!))).to.include({ unread: 20 });
    expect(known.toItem(toActor(owner))).to.include({ unread: 25 });
    expect(known.toItem(toActor(people[1]!))).to.include({ unread: 100 });
  });
});

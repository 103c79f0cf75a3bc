import { expect } from 'chai';
import type { Client } from '../../../src/client/api.ts';
import { ChatClientError } from '../../../src/client/errors.ts';
import type { ClientPart } from '../../../src/client/host.ts';
import { inbox } from '../../../src/client/inbox.ts';
import { exampleInboxItem } from '../../../src/core/examples.ts';
import { createFakeRoom, joined, me, message, newMessage, other } from '../../helpers/fake-room.ts';
import type { Json } from '../../helpers/json.ts';

const refused = new ChatClientError('TOO_LARGE', 'no');

/** A joined room whose `change` events are counted. */
async function openRoom() {
  const fake = await createFakeRoom().join();
  await Promise.resolve();
  const { snapshot } = fake.room;
  const before = fake.updates();
  const changes = async () => {
    await Promise.resolve();
    return fake.updates() - before;
  };
  return { ...fake, snapshot, changes };
}

/** The names of the parts that are other objects. */
const differences = (before: object, after: object) =>
  Object.entries(after).flatMap(([name, value]) => (before[name as keyof object] === value ? [] : [name]));

describe('the snapshot of a room of the client', () => {
  it('is the same frozen object until something changes, and shares all other parts with the next one', async () => {
    const { room, snapshot, changes } = await openRoom();
    expect(room.snapshot).to.equal(snapshot);
    expect(Object.isFrozen(snapshot)).to.equal(true);
    room.handle(newMessage(1, 1));
    expect(differences(snapshot, room.snapshot)).to.deep.equal(['info', 'messages']);
    expect(snapshot.messages).to.deep.equal([]);
    expect(room.snapshot).to.equal(room.snapshot);
    expect(await changes()).to.equal(1);
  });

  it('does not change, and emits no `change`, for news without a difference', async () => {
    const { room, snapshot, next, changes } = await openRoom();
    room.handle({ name: 'typing:changed', payload: { room_id: 7, users: [{ user: me }], count: 1 } });
    room.handle({ name: 'read:changed', payload: { room_id: 7, reads: [] } } as Json);
    room.handle({ name: 'change:skipped', payload: { room_id: 7, rev: 1, cursor: '7.1' } });
    room.onClaimsChanged();
    (await next('room:join')).answer(undefined, joined(1, { recovered: true, room: room.info }));
    expect(room.snapshot).to.equal(snapshot);
    expect(await changes()).to.equal(0);
  });

  it('has another object for a message of the outbox that fails or is sent again, and the same for the others', async () => {
    const { room, next, changes } = await openRoom();
    const outgoing = room.send('first');
    room.send('second');
    const { outbox } = room.snapshot;
    (await next('message:send')).answer(refused);
    const failed = room.snapshot.outbox;
    expect(outbox.map(({ state }) => state)).to.deep.equal(['pending', 'pending']);
    expect(failed.map(({ state }) => state)).to.deep.equal(['failed', 'pending']);
    expect([failed[0]!.error, failed[1]]).to.deep.equal([refused, outbox[1]]);
    expect(failed[1]).to.equal(outbox[1]);
    expect(Object.isFrozen(failed[0])).to.equal(true);
    expect(outgoing.state, 'what `send` returns stays live').to.equal('failed');
    failed[0]!.retry();
    expect(room.snapshot.outbox.map(({ content, state }) => `${content} ${state}`)).to.deep.equal([
      'second pending',
      'first pending',
    ]);
    expect(failed[0]!.state).to.equal('failed');
    expect(await changes()).to.be.above(0);
  });

  it('has the same read positions until one changes', async () => {
    const { room } = await openRoom();
    const read = (read_seq: number, version: number) =>
      ({ name: 'read:changed', payload: { room_id: 7, reads: [{ user: other, read_seq, version }] } }) as Json;
    room.handle(read(1, 1));
    const { reads } = room.snapshot;
    room.handle(newMessage(1, 1));
    room.handle(read(1, 1));
    expect(room.snapshot.reads).to.equal(reads);
    room.handle(read(2, 2));
    expect([reads, room.snapshot.reads].map(([own]) => own!.read_seq)).to.deep.equal([1, 2]);
  });

  it('asks the service for nothing', async () => {
    const { room, requests } = await openRoom();
    expect([room.snapshot.presence, room.snapshot.reads]).to.deep.equal([undefined, []]);
    await Promise.resolve();
    expect(requests).to.deep.equal([]);
  });

  it('of a thread changes with its messages only', async () => {
    const { room, next } = await openRoom();
    room.handle(newMessage(1, 1));
    const thread = room.thread(1);
    thread.on('change', () => {});
    (await next('message:read')).answer(undefined, { messages: [message(1)], rev: 1 });
    (await next('message:history')).answer(undefined, { messages: [], has_more: false, rev: 1, next: null });
    const { snapshot } = thread;
    room.handle(newMessage(2, 2));
    expect(thread.snapshot).to.equal(snapshot);
    const reply = { ...message(3), thread: 1, root: { seq: 1, replies: { count: 1, last_seq: 3 } } };
    room.handle({ name: 'message:new', payload: { ...reply, rev: 3, cursor: '7.3' } });
    expect(differences(snapshot, thread.snapshot)).to.deep.equal(['root', 'messages']);
  });
});

describe('the snapshot of the inbox of the client', () => {
  const item = (id: number, more: object = {}) => ({
    ...{ ...exampleInboxItem, id, room_id: id, unread: 0, unread_mentions: 0 },
    ...more,
  });

  it('changes only if an item changes, and keeps the other items, also when the inbox opens again', async () => {
    const { connection, next } = createFakeRoom();
    await next('room:join');
    let part: ClientPart | undefined;
    const attach = (attached: ClientPart) => {
      part = attached;
      return () => {};
    };
    const live = inbox({ connection, rooms: new Map(), attach } as unknown as Client);
    const open = async (...rooms: object[]) =>
      (await next('inbox:open')).answer(undefined, { rooms, next: null, unread_rooms: [9] });
    await open(item(2), item(1));
    const { snapshot } = live;
    let changes = 0;
    live.on('change', () => void changes++);
    await Promise.resolve();
    changes = 0;
    part!.onEvent('inbox:changed', { items: [item(1)] } as never);
    await Promise.resolve();
    expect([live.snapshot === snapshot, changes]).to.deep.equal([true, 0]);
    part!.onConnect();
    expect(differences(snapshot, live.snapshot)).to.deep.equal(['state']);
    await open(item(2), item(1, { name: 'renamed' }));
    expect(differences(snapshot, live.snapshot)).to.deep.equal(['rooms']);
    expect(live.rooms[0]).to.equal(snapshot.rooms[0]);
    expect(live.rooms[1]).to.not.equal(snapshot.rooms[1]);
  });
});

import { expect } from 'chai';
import { type Inbox, inbox } from '../../src/client/inbox.ts';
import { createClient, getRejection } from '../helpers/client.ts';
import { describeOneWiring } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { createRoom, putRule, sendMessages } from '../helpers/rooms.ts';
import { nodeProxy } from '../helpers/tcp-proxy.ts';
import { createUser, type TestUser } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

describeOneWiring('the inbox of the client', ({ url }) => {
  /** Rooms of which `user` is a member, the first one created first. */
  async function setUp(count: number) {
    const owner = createUser({ level: 100 });
    const user = createUser();
    const rooms = [];
    for (let n = 0; n < count; n++) {
      const room = await createRoom(url(), owner, { name: `room ${n}` });
      await putRule(url(), owner, room, { userUUID: user.user, permissions: 'rw' });
      rooms.push(room);
    }
    return { owner, user, rooms };
  }

  const names = ({ rooms }: Inbox) => rooms.map(({ name }) => name);
  const opened = (opening: Inbox) => waitUntil('the inbox is open', () => opening.state === 'open');

  async function open(user: TestUser, limit?: number) {
    const client = createClient(url(), user);
    const opening = inbox(client, limit === undefined ? {} : { limit });
    await opened(opening);
    return { client, live: opening };
  }

  it('lists the rooms by activity, moves a room up with its next message, and counts what is unread', async () => {
    const { owner, user, rooms } = await setUp(3);
    const { live } = await open(user);
    expect(names(live)).to.deep.equal(['room 2', 'room 1', 'room 0']);
    expect([...live.unreadRooms]).to.deep.equal([]);
    const changed: string[] = [];
    live.on('changed', ({ name }) => void changed.push(name));
    await sendMessages(url(), owner, rooms[0]!, 'hello');
    await waitUntil('the room has moved up', () => names(live)[0] === 'room 0');
    expect(live.rooms[0]).to.include({ unread: 1 });
    expect([...live.unreadRooms]).to.deep.equal([rooms[0]!.id]);
    expect(changed).to.include('room 0');
    await rest(url(), user.token).put(`/rooms/${rooms[0]!.id}/read`, { seq: 1 });
    await waitUntil('the room is read', () => live.rooms[0]!.unread === 0);
    expect(live.unreadRooms.size).to.equal(0);
  });

  it('loads further pages, and lists a room behind the last page only when that page is loaded', async () => {
    const { owner, user, rooms } = await setUp(5);
    const { live } = await open(user, 2);
    expect([names(live), live.hasMore]).to.deep.equal([['room 4', 'room 3'], true]);
    const renamed = new Promise<void>((resolve) => {
      live.on('changed', ({ name }) => name === 'renamed' && resolve());
    });
    // Changes the item of a room without moving it up.
    await rest(url(), owner.token).patch(`/rooms/${rooms[0]!.id}`, { name: 'renamed' });
    await renamed;
    expect(names(live)).to.deep.equal(['room 4', 'room 3']);
    const [page, same] = await Promise.all([live.loadMore(2), live.loadMore(2)]);
    expect(page.map(({ name }) => name)).to.deep.equal(['room 2', 'room 1']);
    expect(page).to.equal(same);
    await live.loadMore();
    expect(names(live)).to.deep.equal(['room 4', 'room 3', 'room 2', 'room 1', 'renamed']);
    expect(live.hasMore).to.equal(false);
    expect(await live.loadMore()).to.deep.equal([]);
  });

  it('shows own marks and personal settings at once, and keeps them when the service has stored them', async () => {
    const { owner, user, rooms } = await setUp(2);
    const { client, live } = await open(user);
    const [first] = rooms;
    await sendMessages(url(), owner, first!, 'one', 'two');
    await waitUntil('the messages are counted', () => live.rooms[0]!.unread === 2);
    const room = client.room(first!.uuid);
    await room.joined();
    const shown = () => {
      const { unread, muted } = live.rooms.find(({ id }) => id === first!.id)!;
      return { unread, muted, isUnread: live.unreadRooms.has(first!.id) };
    };
    const read = room.markRead(1);
    expect(shown()).to.deep.equal({ unread: 1, muted: false, isUnread: true });
    const mute = room.setPersonal({ muted: true });
    expect(shown()).to.deep.equal({ unread: 1, muted: true, isUnread: false });
    await Promise.all([read.confirmed, mute.confirmed]);
    expect(shown()).to.deep.equal({ unread: 1, muted: true, isUnread: false });
    const hide = room.setPersonal({ hidden: true });
    expect(names(live)).to.deep.equal(['room 1']);
    expect(await hide.confirmed).to.deep.equal({ muted: true, hidden: true });
    expect(names(live)).to.deep.equal(['room 1']);
  });

  it('adds and removes rooms when rules change, and ends with the client', async () => {
    const { owner, user, rooms } = await setUp(2);
    const { client, live } = await open(user);
    const removed: unknown[] = [];
    live.on('removed', (payload) => void removed.push(payload));
    await putRule(url(), owner, rooms[1]!, { userUUID: user.user, permissions: 'b' });
    await waitUntil('the room is gone', () => live.rooms.length === 1);
    expect(removed).to.deep.equal([{ room_id: rooms[1]!.id, code: 'BANNED' }]);
    const third = await createRoom(url(), owner, { name: 'third' });
    await putRule(url(), owner, third, { userUUID: user.user, permissions: 'r' });
    await waitUntil('the new room is there', () => names(live).includes('third'));
    client.close();
    expect(live.state).to.equal('closed');
  });

  it('has after a reconnect what it missed, and at least as many rooms as before', async () => {
    const { owner, user, rooms } = await setUp(3);
    const proxy = await nodeProxy(url());
    const live = inbox(createClient(proxy.url, user, { transports: ['websocket'] }), { limit: 1 });
    await opened(live);
    await live.loadMore(2);
    proxy.cut();
    await waitUntil('the connection is lost', () => live.state === 'opening');
    expect((await getRejection(live.loadMore())).code).to.equal('UNREACHABLE');
    expect(names(live)).to.deep.equal(['room 2', 'room 1', 'room 0']);
    await sendMessages(url(), owner, rooms[0]!, 'missed');
    proxy.restore();
    await opened(live);
    expect(names(live)).to.deep.equal(['room 0', 'room 2', 'room 1']);
    expect(live.rooms[0]).to.include({ unread: 1 });
    expect([...live.unreadRooms]).to.deep.equal([rooms[0]!.id]);
  });
});

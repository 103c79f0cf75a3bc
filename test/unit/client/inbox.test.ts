import { expect } from 'chai';
import type { Client } from '../../../src/client/api.ts';
import { ChatClientError } from '../../../src/client/errors.ts';
import type { ClientPart } from '../../../src/client/host.ts';
import { type InboxItem, inbox } from '../../../src/client/inbox.ts';
import { exampleInboxItem } from '../../../src/core/examples.ts';
import { createFakeRoom, joined } from '../../helpers/fake-room.ts';
import type { Json } from '../../helpers/json.ts';

const refused = new ChatClientError('FORBIDDEN', 'no');

/** An open inbox with the room 7, whose ten messages are unread. */
async function openInbox() {
  let part: ClientPart | undefined;
  const fake = createFakeRoom({ onOwnState: (room, ack) => part!.onOwnState!(room, ack) });
  (await fake.next('room:join')).answer(undefined, joined(10));
  (await fake.next('message:history')).answer(undefined, { messages: [], has_more: false, rev: 10, next: null });
  const item: InboxItem = {
    ...({ ...exampleInboxItem, id: 7, room_id: 7, last_seq: 10 } as InboxItem),
    ...{ read_seq: 0, version: 1, unread: 10, unread_mentions: 2, muted: false, hidden: false },
  };
  const rooms = new Map([['7', fake.room]]);
  const attach = (attached: ClientPart) => {
    part = attached;
    return () => {};
  };
  const live = inbox({ connection: fake.connection, rooms, attach } as unknown as Client);
  (await fake.next('inbox:open')).answer(undefined, { rooms: [item], next: null, unread_rooms: [7] });
  const receive = (more: object) => part!.onEvent('inbox:changed', { items: [{ ...item, ...more }] } as never);
  const shown = () => {
    const { read_seq, unread, unread_mentions, muted } = live.rooms[0] ?? ({} as Json);
    return { read_seq, unread, unread_mentions, muted, isUnread: live.unreadRooms.has(7) };
  };
  const changed: InboxItem[] = [];
  live.on('changed', (one) => void changed.push(one));
  return { ...fake, live, shown, receive, changed };
}

const unread = { read_seq: 0, unread: 10, unread_mentions: 2, muted: false, isUnread: true };
const read = { read_seq: 10, unread: 0, unread_mentions: 0, muted: false, isUnread: false };

describe('own marks and personal settings in the inbox of the client', () => {
  it('shows a mark at once, and the previous position again if the service refuses it', async () => {
    const { room, next, shown, changed } = await openInbox();
    room.markRead();
    expect(shown()).to.deep.equal(read);
    (await next('read:mark')).answer(refused);
    expect(shown()).to.deep.equal(unread);
    expect(changed.map(({ read_seq }) => read_seq)).to.deep.equal([10, 0]);
  });

  it('shows how many messages can be unread at most, until the service has counted them', async () => {
    const { room, next, shown } = await openInbox();
    room.markRead(9);
    expect(shown()).to.deep.equal({ ...unread, read_seq: 9, unread: 1, unread_mentions: 1 });
    const ack = { ok: true, read_seq: 9, version: 2, unread: 1, unread_mentions: 0 };
    (await next('read:mark')).answer(undefined, ack);
    expect(shown()).to.deep.equal({ ...unread, read_seq: 9, unread: 1, unread_mentions: 0 });
  });

  it('shows a room as unread at once if the user marks it as unread', async () => {
    const { room, receive, shown } = await openInbox();
    receive({ read_seq: 10, version: 2, unread: 0, unread_mentions: 0 });
    expect(shown()).to.deep.equal(read);
    room.markRead(4, { force: true });
    expect(shown()).to.deep.equal({ ...read, read_seq: 4, unread: 1, isUnread: true });
  });

  it('keeps an acknowledged mark if an older item arrives, and follows a newer one', async () => {
    const { room, next, receive, shown } = await openInbox();
    room.markRead();
    const ack = { ok: true, read_seq: 10, version: 3, unread: 0, unread_mentions: 0 };
    (await next('read:mark')).answer(undefined, ack);
    receive({ version: 2, name: 'renamed' });
    expect(shown()).to.deep.equal(read);
    receive({ version: 4 });
    expect(shown()).to.deep.equal(unread);
  });

  it('shows personal settings at once, and the previous ones again if the service refuses them', async () => {
    const { room, next, live, shown } = await openInbox();
    const muting = room.setPersonal({ muted: true });
    expect(shown()).to.deep.equal({ ...unread, muted: true });
    const first = await next('room:personal');
    expect(first.payload).to.deep.equal({ room_id: 7, muted: true });
    room.setPersonal({ hidden: true });
    expect([live.rooms, live.unreadRooms.has(7)]).to.deep.equal([[], false]);
    first.answer(undefined, { ok: true, muted: true, hidden: false, version: 2 });
    expect(await muting.confirmed).to.deep.equal({ muted: true, hidden: false });
    (await next('room:personal')).answer(refused);
    expect(shown()).to.deep.equal({ ...unread, muted: true });
  });

  it('shows a mark and a setting that the service has stored with the same version', async () => {
    const { room, next, shown } = await openInbox();
    room.markRead();
    room.setPersonal({ muted: true });
    const [mark, setting] = [await next('read:mark'), await next('room:personal')];
    mark.answer(undefined, { ok: true, read_seq: 10, version: 2, unread: 0, unread_mentions: 0 });
    setting.answer(undefined, { ok: true, muted: true, hidden: false, version: 2 });
    expect(shown()).to.deep.equal({ ...read, muted: true });
  });

  it('sends personal settings while the room is not joined yet', async () => {
    const { room, next } = createFakeRoom();
    await next('room:join');
    room.react(1, '👍');
    room.setPersonal({ muted: true });
    await next('room:personal');
  });

  it('sends the settings of several calls together if the first of them had to wait', async () => {
    const { room, next, connection } = await openInbox();
    room.onDisconnect();
    const { link } = connection;
    connection.link = undefined as never;
    const operations = [room.setPersonal({ muted: true }), room.setPersonal({ hidden: true })];
    connection.link = link;
    room.onConnect();
    (await next('room:join')).answer(undefined, joined(10, { recovered: true }));
    const { payload, answer } = await next('room:personal');
    expect(payload).to.deep.equal({ room_id: 7, muted: true, hidden: true });
    answer(undefined, { muted: true, hidden: true, version: 2 });
    await Promise.all(operations.map(({ confirmed }) => confirmed));
  });
});

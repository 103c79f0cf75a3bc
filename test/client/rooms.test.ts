import { expect } from 'chai';
import { putKeyedRoom } from '../helpers/admin-rooms.ts';
import { createClient, expectNoGaps, getRejection, recordMessages, toContents } from '../helpers/client.ts';
import { describeBothDatabases } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoom, createRoomWithOwner, putRule, sendMessages } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { createUser, withClaims } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const upTo = (last: number, name = '') => Array.from({ length: last }, (_, n) => `${name}${n + 1}`);

describeBothDatabases('the client in a room', ({ url }) => {
  /** A room that a member with these permissions has joined. */
  async function joinAsMember(permissions = 'rw') {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = await createMember(url(), owner, room, permissions);
    const client = createClient(url(), guest);
    const clientRoom = client.room(room.id);
    await clientRoom.joined();
    const rule = (letters: string) => putRule(url(), owner, room, { userUUID: guest.user, permissions: letters });
    return { owner, room, guest, client, clientRoom, rule };
  }

  it('joins a room with its latest page of history, and receives the messages that follow', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    await sendMessages(url(), owner, room, 'one', 'two');
    const clientRoom = createClient(url(), owner).room(room.id);
    expect(clientRoom).to.include({ state: 'idle', rights: '', rev: 0, info: undefined });
    await clientRoom.joined();
    expect(clientRoom).to.include({ state: 'joined', rights: 'rwa', rev: 2, hasOlder: false });
    expect(clientRoom.info).to.include({ name: 'a room', last_seq: 2 });
    expect(toContents(clientRoom)).to.deep.equal(['one', 'two']);
    const received = recordMessages(clientRoom);
    await sendMessages(url(), owner, room, 'three');
    await waitUntil('the message arrives', () => clientRoom.rev === 3);
    expect(received).to.deep.equal(['three']);
    expect(toContents(clientRoom)).to.deep.equal(['one', 'two', 'three']);
  });

  it('sends messages in order, and delivers each once to every client', async () => {
    const { owner, room, guest, clientRoom } = await joinAsMember();
    const other = createClient(url(), owner).room(room.uuid);
    await other.joined();
    const received = recordMessages(other);
    const sent = [
      ...upTo(20, 'a').map((content) => clientRoom.send(content)),
      ...upTo(20, 'b').map((b) => other.send(b)),
    ];
    expect(clientRoom.outbox.map(({ content, state }) => `${content} ${state}`)).to.deep.equal(
      upTo(20, 'a').map((a) => `${a} pending`),
    );
    const stored = await Promise.all(sent.map(({ confirmed }) => confirmed));
    for (const [n, { client_msg_id }] of sent.entries()) expect(stored[n]).to.include({ client_msg_id });
    await waitUntil(
      'both clients have all messages',
      () => clientRoom.messages.length === 40 && other.messages.length === 40,
    );
    expect(toContents(clientRoom)).to.deep.equal(toContents(other)).and.to.deep.equal(received);
    expect(received.filter((content) => content.startsWith('a'))).to.deep.equal(upTo(20, 'a'));
    expect(received.filter((content) => content.startsWith('b'))).to.deep.equal(upTo(20, 'b'));
    expectNoGaps(clientRoom);
    expect(clientRoom.messages.filter(({ emitter }) => emitter === guest.user)).to.have.length(20);
    expect([...clientRoom.outbox, ...other.outbox]).to.deep.equal([]);
  });

  it('loads older pages, with one request at a time, while new messages arrive', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const socket = await socketClient(url(), owner);
    await Promise.all(upTo(130).map((content) => socket.request('message:send', { room_id: room.id, content })));
    const clientRoom = createClient(url(), owner).room(room.id);
    await clientRoom.joined();
    expect(clientRoom.messages).to.have.length(100);
    expect((await getRejection(clientRoom.loadOlder(501))).code).to.equal('BAD_REQUEST');
    const [page, same] = await Promise.all([
      clientRoom.loadOlder(20),
      clientRoom.loadOlder(20),
      sendMessages(url(), owner, room, 'new'),
    ]);
    expect(page).to.have.length(20).and.to.equal(same);
    expect(clientRoom.hasOlder).to.equal(true);
    expect(await clientRoom.loadOlder()).to.have.length(10);
    expect(await clientRoom.loadOlder()).to.deep.equal([]);
    expect(clientRoom.hasOlder).to.equal(false);
    await waitUntil('the new message is there', () => clientRoom.messages.length === 131);
    expect(clientRoom.messages[0]).to.include({ seq: 1 });
    expectNoGaps(clientRoom);
  });

  it('follows changes of its rights, and fails a message that they do not allow', async () => {
    const { clientRoom, rule } = await joinAsMember();
    const rules: unknown[] = [];
    clientRoom.on('member', ({ permissions }) => void rules.push(permissions));
    await rule('r');
    await waitUntil('the rights are updated', () => clientRoom.rights === 'r');
    expect(rules).to.deep.equal(['r']);
    expect(clientRoom.state).to.equal('joined');
    const outgoing = clientRoom.send('may I?');
    expect((await getRejection(outgoing.confirmed)).code).to.equal('FORBIDDEN');
    expect(clientRoom.outbox.map(({ client_msg_id }) => client_msg_id)).to.deep.equal([outgoing.client_msg_id]);
    await rule('rw');
    outgoing.retry();
    expect(await outgoing.confirmed).to.include({ content: 'may I?' });
    await waitUntil('the message is shown', () => clientRoom.outbox.length === 0);
    expect(toContents(clientRoom)).to.deep.equal(['may I?']);
  });

  it('follows changes of the room, and of the rights that depend on it', async () => {
    const owner = createUser({ level: 150 });
    const room = await createRoom(url(), owner, { level_admin: 50 });
    const colleague = withClaims(createUser({ entity: owner.entity }), { levelOnEntity: 100 });
    const clientRoom = createClient(url(), colleague).room(room.id);
    await clientRoom.joined();
    expect(clientRoom.rights).to.equal('rwa');
    const names: string[] = [];
    clientRoom.on('room', ({ name }) => void names.push(name));
    await rest(url(), owner.token).patch(`/rooms/${room.id}`, { name: 'renamed', level_admin: 101 });
    await waitUntil('the rights are updated', () => clientRoom.rights === 'rw');
    expect(names).to.deep.equal(['renamed']);
    expect(clientRoom.info).to.include({ name: 'renamed', level_admin: 101 });
  });

  it('is removed by a ban, and receives the missed messages when it joins again', async () => {
    const { owner, room, clientRoom, rule } = await joinAsMember();
    await clientRoom.send('before').confirmed;
    await rule('b');
    await waitUntil('the room is removed', () => clientRoom.state === 'removed');
    expect(clientRoom).to.include({ removalReason: 'BANNED', rights: '' });
    expect((await getRejection(clientRoom.joined())).code).to.equal('BANNED');
    expect((await getRejection(clientRoom.send('let me').confirmed)).code).to.equal('BANNED');
    await sendMessages(url(), owner, room, 'meanwhile');
    clientRoom.rejoin();
    expect((await getRejection(clientRoom.joined())).code).to.equal('BANNED');
    expect(clientRoom.state).to.equal('rejected');
    await rule('rw');
    clientRoom.rejoin();
    await clientRoom.joined();
    expect(clientRoom).to.include({ state: 'joined', rights: 'rw', error: undefined, removalReason: undefined });
    expect(toContents(clientRoom)).to.deep.equal(['before', 'meanwhile']);
  });

  it('is rejected from a room until a rule admits the user', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const stranger = createUser();
    const clientRoom = createClient(url(), stranger).room(room.id);
    expect((await getRejection(clientRoom.joined())).code).to.equal('NOT_FOUND');
    expect(clientRoom.state).to.equal('rejected');
    expect(clientRoom.error).to.include({ code: 'NOT_FOUND', name: 'ChatClientError' });
    expect((await getRejection(clientRoom.loadOlder())).code).to.equal('NOT_FOUND');
    await putRule(url(), owner, room, { userUUID: stranger.user, permissions: 'r' });
    clientRoom.rejoin();
    await clientRoom.joined();
    expect(clientRoom.rights).to.equal('r');
  });

  it('is removed from a deleted room', async () => {
    const { owner, room, clientRoom } = await joinAsMember();
    await rest(url(), owner.token).delete(`/rooms/${room.id}`);
    await waitUntil('the room is removed', () => clientRoom.state === 'removed');
    expect(clientRoom.removalReason).to.equal('ROOM_DELETED');
    expect((await getRejection(clientRoom.joined())).code).to.equal('NOT_FOUND');
  });

  it('receives nothing from a room that it left until it joins again', async () => {
    const { owner, room, client, clientRoom } = await joinAsMember();
    const other = client.room((await createRoom(url(), owner)).id);
    clientRoom.leave();
    expect((await getRejection(clientRoom.joined())).code).to.equal('CLOSED');
    await getRejection(other.joined());
    const late = clientRoom.send('sent all the same');
    expect(await late.confirmed).to.include({ seq: 1 });
    expect(clientRoom.outbox).to.deep.equal([]);
    await sendMessages(url(), owner, room, 'missed');
    expect(clientRoom.messages).to.deep.equal([]);
    expect(client.room(String(room.id))).to.equal(clientRoom);
    expect(clientRoom.state).to.equal('left');
    clientRoom.rejoin();
    await clientRoom.joined();
    expect(toContents(clientRoom)).to.deep.equal(['sent all the same', 'missed']);
  });

  it('misses no message between the answer to a join by UUID and the first page', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    await sendMessages(url(), owner, room, 'first');
    for (let round = 1; round <= 8; round++) {
      const client = createClient(url(), owner, { transports: ['websocket'] });
      const clientRoom = client.room(room.uuid);
      client.on('frame', ({ direction, name }) => {
        // The join is answered: this message arrives before the page or is part of it.
        if (direction === 'out' && name === 'message:history') void sendMessages(url(), owner, room, `round ${round}`);
      });
      await clientRoom.joined();
      await waitUntil('the message is there', () => toContents(clientRoom).at(-1) === `round ${round}`);
      client.close();
    }
  });

  it('opens a room by the key that the backend gave it', async () => {
    const user = createUser();
    const { id, key } = await putKeyedRoom(url(), { rules: [{ userUUID: user.user, permissions: 'rw' }] });
    const [clientRoom, byNumber] = [`key:${key}`, id].map((ref) => createClient(url(), user).room(ref));
    await Promise.all([clientRoom!.joined(), byNumber!.joined()]);
    for (const room of [clientRoom!, byNumber!]) await room.send('one').confirmed;
    await waitUntil('both messages are there', () => clientRoom!.messages.length === 2);
  });

  it('keeps a room that is open by number and by UUID when one of the two is left', async () => {
    const { owner, room, client, clientRoom } = await joinAsMember();
    const other = client.room(room.uuid);
    await other.joined();
    clientRoom.leave();
    await sendMessages(url(), owner, room, 'one');
    await waitUntil('the message arrives', () => other.messages.length === 1);
    expect(clientRoom.messages).to.deep.equal([]);
  });

  it('fails pending messages and leaves its rooms when it is closed', async () => {
    const { client, clientRoom } = await joinAsMember();
    const states: string[] = [];
    clientRoom.on('state', (state) => void states.push(state));
    const outgoing = clientRoom.send('too late');
    client.close();
    expect((await getRejection(outgoing.confirmed)).code).to.equal('CLOSED');
    for (const { confirmed } of [clientRoom.send('later'), client.room(1).send('elsewhere')]) {
      expect((await getRejection(confirmed)).code).to.equal('CLOSED');
    }
    expect((await getRejection(client.room(2).joined())).code).to.equal('CLOSED');
    client.connect();
    clientRoom.rejoin();
    expect(client.state).to.equal('closed');
    expect(states).to.deep.equal(['left']);
  });
});

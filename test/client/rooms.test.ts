import { expect } from 'chai';
import { clientOf, contentsOf, expectWhole, failureOf, heardIn } from '../helpers/client.ts';
import { describeEveryWiring } from '../helpers/node.ts';
import { again, somebody } from '../helpers/people.ts';
import { rest } from '../helpers/rest-client.ts';
import { member, newRoom, ownRoom, putRule, say } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { until } from '../helpers/until.ts';

const upTo = (last: number, name = '') => Array.from({ length: last }, (_, n) => `${name}${n + 1}`);

describeEveryWiring('the client in a room', ({ url }) => {
  /** A room with somebody who may write, live in it. */
  async function guestIn(permissions = 'rw') {
    const { owner, room } = await ownRoom(url());
    const guest = await member(url(), owner, room, permissions);
    const client = clientOf(url(), guest);
    const inside = client.room(room.id);
    await inside.joined();
    const rule = (letters: string) => putRule(url(), owner, room, { userUUID: guest.user, permissions: letters });
    return { owner, room, guest, client, inside, rule };
  }

  it('is live with the latest page of history, and hears what is said next', async () => {
    const { owner, room } = await ownRoom(url());
    await say(url(), owner, room, 'one', 'two');
    const inside = clientOf(url(), owner).room(room.id);
    expect(inside).to.include({ state: 'joining', rights: '', rev: 0, info: undefined });
    await inside.joined();
    expect(inside).to.include({ state: 'joined', rights: 'rwa', rev: 2, hasOlder: false });
    expect(inside.info).to.include({ name: 'a room', last_seq: 2 });
    expect(contentsOf(inside)).to.deep.equal(['one', 'two']);
    const heard = heardIn(inside);
    await say(url(), owner, room, 'three');
    await until('it is heard', () => inside.rev === 3);
    expect(heard).to.deep.equal(['three']);
    expect(contentsOf(inside)).to.deep.equal(['one', 'two', 'three']);
  });

  it('sends in order, and everybody has it once', async () => {
    const { owner, room, guest, inside } = await guestIn();
    const other = clientOf(url(), owner).room(room.uuid);
    await other.joined();
    const heard = heardIn(other);
    const sent = [...upTo(20, 'a').map((content) => inside.send(content)), ...upTo(20, 'b').map((b) => other.send(b))];
    expect(inside.outbox.map(({ content, state }) => `${content} ${state}`)).to.deep.equal(
      upTo(20, 'a').map((a) => `${a} pending`),
    );
    const stored = await Promise.all(sent.map(({ confirmed }) => confirmed));
    for (const [n, { client_msg_id }] of sent.entries()) expect(stored[n]).to.include({ client_msg_id });
    await until('both have all', () => inside.messages.length === 40 && other.messages.length === 40);
    expect(contentsOf(inside)).to.deep.equal(contentsOf(other)).and.to.deep.equal(heard);
    expect(heard.filter((content) => content.startsWith('a'))).to.deep.equal(upTo(20, 'a'));
    expect(heard.filter((content) => content.startsWith('b'))).to.deep.equal(upTo(20, 'b'));
    expectWhole(inside);
    expect(inside.messages.filter(({ emitter }) => emitter === guest.user)).to.have.length(20);
    expect([...inside.outbox, ...other.outbox]).to.deep.equal([]);
  });

  it('loads older pages, one at a time, while more is said', async () => {
    const { owner, room } = await ownRoom(url());
    const socket = await socketClient(url(), owner);
    await Promise.all(upTo(130).map((content) => socket.request('message:send', { room_id: room.id, content })));
    const inside = clientOf(url(), owner).room(room.id);
    await inside.joined();
    expect(inside.messages).to.have.length(100);
    expect((await failureOf(inside.loadOlder(501))).code).to.equal('BAD_REQUEST');
    const [page, same] = await Promise.all([
      inside.loadOlder(20),
      inside.loadOlder(20),
      say(url(), owner, room, 'new'),
    ]);
    expect(page).to.have.length(20).and.to.equal(same);
    expect(inside.hasOlder).to.equal(true);
    expect(await inside.loadOlder()).to.have.length(10);
    expect(await inside.loadOlder()).to.deep.equal([]);
    expect(inside.hasOlder).to.equal(false);
    await until('the new one is there', () => inside.messages.length === 131);
    expect(inside.messages[0]).to.include({ seq: 1 });
    expectWhole(inside);
  });

  it('knows its rights as they change, and what is not allowed fails', async () => {
    const { inside, rule } = await guestIn();
    const rules: unknown[] = [];
    inside.on('member', ({ permissions }) => void rules.push(permissions));
    await rule('r');
    await until('its rights are known', () => inside.rights === 'r');
    expect(rules).to.deep.equal(['r']);
    expect(inside.state).to.equal('joined');
    const one = inside.send('may I?');
    expect((await failureOf(one.confirmed)).code).to.equal('FORBIDDEN');
    expect(inside.outbox).to.deep.equal([one]);
    await rule('rw');
    one.retry();
    expect(await one.confirmed).to.include({ content: 'may I?' });
    await until('it is shown', () => inside.outbox.length === 0);
    expect(contentsOf(inside)).to.deep.equal(['may I?']);
  });

  it('knows the room as it changes, and the rights that come with it', async () => {
    const owner = somebody({ level: 150 });
    const room = await newRoom(url(), owner, { level_admin: 50 });
    const colleague = again(somebody({ entity: owner.entity }), { levelOnEntity: 100 });
    const inside = clientOf(url(), colleague).room(room.id);
    await inside.joined();
    expect(inside.rights).to.equal('rwa');
    const names: string[] = [];
    inside.on('room', ({ name }) => void names.push(name));
    await rest(url(), owner.token).patch(`/rooms/${room.id}`, { name: 'renamed', level_admin: 101 });
    await until('its rights are known', () => inside.rights === 'rw');
    expect(names).to.deep.equal(['renamed']);
    expect(inside.info).to.include({ name: 'renamed', level_admin: 101 });
  });

  it('is removed by a ban, and comes back with what it missed', async () => {
    const { owner, room, inside, rule } = await guestIn();
    await inside.send('before').confirmed;
    await rule('b');
    await until('it is out', () => inside.state === 'removed');
    expect(inside).to.include({ removalReason: 'BANNED', rights: '' });
    expect((await failureOf(inside.joined())).code).to.equal('BANNED');
    expect((await failureOf(inside.send('let me').confirmed)).code).to.equal('BANNED');
    await say(url(), owner, room, 'meanwhile');
    inside.rejoin();
    expect((await failureOf(inside.joined())).code).to.equal('BANNED');
    expect(inside.state).to.equal('rejected');
    await rule('rw');
    inside.rejoin();
    await inside.joined();
    expect(inside).to.include({ state: 'joined', rights: 'rw', error: undefined, removalReason: undefined });
    expect(contentsOf(inside)).to.deep.equal(['before', 'meanwhile']);
  });

  it('is refused where it is nobody, until it is let in', async () => {
    const { owner, room } = await ownRoom(url());
    const stranger = somebody();
    const inside = clientOf(url(), stranger).room(room.id);
    expect((await failureOf(inside.joined())).code).to.equal('NOT_FOUND');
    expect(inside.state).to.equal('rejected');
    expect(inside.error).to.include({ code: 'NOT_FOUND', name: 'ChatClientError' });
    expect((await failureOf(inside.loadOlder())).code).to.equal('NOT_FOUND');
    await putRule(url(), owner, room, { userUUID: stranger.user, permissions: 'r' });
    inside.rejoin();
    await inside.joined();
    expect(inside.rights).to.equal('r');
  });

  it('is out of a room that is deleted', async () => {
    const { owner, room, inside } = await guestIn();
    await rest(url(), owner.token).delete(`/rooms/${room.id}`);
    await until('it is out', () => inside.state === 'removed');
    expect(inside.removalReason).to.equal('ROOM_DELETED');
    expect((await failureOf(inside.joined())).code).to.equal('NOT_FOUND');
  });

  it('hears nothing of a room that it left, until it comes back', async () => {
    const { owner, room, client, inside } = await guestIn();
    const other = client.room((await newRoom(url(), owner)).id);
    inside.leave();
    expect((await failureOf(inside.joined())).code).to.equal('CLOSED');
    await failureOf(other.joined());
    const late = inside.send('sent all the same');
    expect(await late.confirmed).to.include({ seq: 1 });
    expect(inside.outbox).to.deep.equal([]);
    await say(url(), owner, room, 'missed');
    expect(inside.messages).to.deep.equal([]);
    expect(client.room(String(room.id))).to.equal(inside);
    await inside.joined();
    expect(contentsOf(inside)).to.deep.equal(['sent all the same', 'missed']);
  });

  it('joined by its UUID lacks nothing that is said between the answer and the first page', async () => {
    const { owner, room } = await ownRoom(url());
    await say(url(), owner, room, 'first');
    for (let round = 1; round <= 8; round++) {
      const client = clientOf(url(), owner, { transports: ['websocket'] });
      const inside = client.room(room.uuid);
      client.on('frame', ({ direction, name }) => {
        // The join is answered: what is said now is announced before the page has come, or with it.
        if (direction === 'out' && name === 'message:history') void say(url(), owner, room, `round ${round}`);
      });
      await inside.joined();
      await until('it is there', () => contentsOf(inside).at(-1) === `round ${round}`);
      client.close();
    }
  });

  it('may have a room under two names, and leave one of them', async () => {
    const { owner, room, client, inside } = await guestIn();
    const other = client.room(room.uuid);
    await other.joined();
    inside.leave();
    await say(url(), owner, room, 'one');
    await until('it is heard', () => other.messages.length === 1);
    expect(inside.messages).to.deep.equal([]);
  });

  it('is over when the client is closed', async () => {
    const { client, inside } = await guestIn();
    const states: string[] = [];
    inside.on('state', (state) => void states.push(state));
    const one = inside.send('too late');
    client.close();
    expect((await failureOf(one.confirmed)).code).to.equal('CLOSED');
    for (const { confirmed } of [inside.send('later'), client.room(1).send('elsewhere')]) {
      expect((await failureOf(confirmed)).code).to.equal('CLOSED');
    }
    expect((await failureOf(client.room(2).joined())).code).to.equal('CLOSED');
    client.connect();
    inside.rejoin();
    expect(client.state).to.equal('closed');
    expect(states).to.deep.equal(['left']);
  });
});

import { expect } from 'chai';
import { connect, createClient as createUnconnected } from '../../src/client/client.ts';
import { inbox } from '../../src/client/inbox.ts';
import { memory, offline } from '../../src/client/storage.ts';
import { closeLater } from '../helpers/cleanup.ts';
import { createClient, recordMessages, toContents } from '../helpers/client.ts';
import { describeOneWiring } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { createRoomWithOwner, sendMessages } from '../helpers/rooms.ts';
import { createUser } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

describeOneWiring('the client of a program that keeps state', ({ url }) => {
  it('continues a room and its inbox in the next client, from a storage', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    await sendMessages(url(), owner, room, 'one', 'two');
    const storage = offline(memory());
    const options = { url: url(), token: () => owner.token, user: owner.user.toUpperCase(), storage };
    const first = connect(options);
    closeLater(() => first.close());
    const rooms = inbox(first);
    const opened = first.room(room.id);
    await opened.joined();
    await waitUntil('the inbox is open', () => rooms.state === 'open');
    first.close();
    await sendMessages(url(), owner, room, 'three');

    const second = createUnconnected(options);
    closeLater(() => second.close());
    const next = second.room(room.id);
    const list = inbox(second);
    const received = recordMessages(next);
    expect([next.messages, list.rooms]).to.deep.equal([[], []]);
    const shown = new Promise((resolve) => {
      next.on('change', () => {
        const items = list.rooms.map(({ id, last_message }) => [id, last_message?.content]);
        if (next.messages.length > 0) resolve([second.state, toContents(next), items]);
      });
    });
    second.connect();
    second.connect();
    expect(await shown).to.deep.equal(['connecting', ['one', 'two'], [[room.id, 'two']]]);
    await waitUntil('it has caught up', () => next.messages.length === 3);
    expect(received).to.deep.equal(['three']);

    await second.logout();
    const third = connect(options);
    closeLater(() => third.close());
    const states: string[] = [];
    third.on('storage', (state) => states.push(state));
    await waitUntil('the storage is open', () => states.length > 0);
    expect([states, third.room(room.id).messages]).to.deep.equal([['memory'], []]);
  });

  it('requires user with storage, and ends with WRONG_USER at a token of another user, also of a refresh', async () => {
    const [ada, ben] = [createUser(), createUser()];
    expect(() => connect({ url: url(), token: () => '', storage: offline(memory()) })).to.throw(TypeError, 'user');
    const client = createClient(url(), ada, { user: ben.user });
    const errors: string[] = [];
    client.on('error', ({ code, message }) => errors.push(`${code} ${message}`));
    await waitUntil('it is refused', () => client.state === 'unauthorized');
    expect(errors).to.deep.equal([`WRONG_USER A token of ${ada.user}, not of ${ben.user}`]);
  });

  it('receives what it missed since the cursor that a bot has kept, and each answer is stored once', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    await sendMessages(url(), owner, room, 'one', 'two');
    const first = createClient(url(), owner).room(room.id);
    await first.joined();
    const { cursor } = first;
    await sendMessages(url(), owner, room, 'three', 'four');
    await rest(url(), owner.token).patch(`/rooms/${room.id}/messages/3`, { content: 'three, edited' });

    const bot = connect({ url: url(), token: () => owner.token });
    closeLater(() => bot.close());
    const next = bot.room(room.id, { since: cursor });
    const received = recordMessages(next);
    const resets: number[] = [];
    next.on('reset', () => resets.push(next.messages.length));
    await next.joined();
    expect([received, toContents(next), resets]).to.deep.equal([
      ['three, edited', 'four'],
      ['three, edited', 'four'],
      [],
    ]);
    expect([next.rev, next.cursor, next.hasOlder]).to.deep.equal([first.rev, first.cursor, true]);
    await next.loadOlder();
    expect(toContents(next)).to.deep.equal(['one', 'two', 'three, edited', 'four']);
    await sendMessages(url(), owner, room, 'live');
    await waitUntil('it is live', () => received.at(-1) === 'live');

    const sent = next.send('answer', { client_msg_id: 'answer-4' });
    expect(next.send('answer', { client_msg_id: 'answer-4' })).to.equal(sent);
    const { seq } = await sent.confirmed;
    // After a crash, the program does not know whether it has sent the answer.
    const again = await createClient(url(), owner).room(room.id).send('answer', { client_msg_id: 'answer-4' })
      .confirmed;
    expect([seq, again.seq]).to.deep.equal([6, 6]);
  });

  it('is reset if it cannot receive everything since the cursor', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    await sendMessages(url(), owner, room, 'one');
    const bot = connect({ url: url(), token: () => owner.token });
    closeLater(() => bot.close());
    const next = bot.room(room.id, { since: 'not a cursor of this room' });
    const resets: string[][] = [];
    next.on('reset', () => resets.push(toContents(next)));
    await next.joined();
    expect(resets).to.deep.equal([['one']]);
  });
});

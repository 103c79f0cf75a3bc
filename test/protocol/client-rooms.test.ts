import { expect } from 'chai';
import { clientOf } from '../support/client.ts';
import { describeOneWiring } from '../support/node.ts';
import { member, ownRoom, say } from '../support/rooms.ts';

describeOneWiring('the client in a room', ({ url }) => {
  it('is live with the latest page of history, and hears what is said next', async () => {
    const { owner, room } = await ownRoom(url());
    await say(url(), owner, room, 'one', 'two');
    const inside = clientOf(url(), owner).room(room.id);
    await inside.joined();
    expect(inside.messages.map(({ content }) => content)).to.deep.equal(['one', 'two']);
    expect(inside.rights).to.equal('rwa');
    const sent = inside.send('three');
    expect(sent.state).to.equal('pending');
    const message = await sent.done;
    expect(message).to.include({ seq: 3, content: 'three', client_msg_id: sent.client_msg_id });
    expect(inside.messages.at(-1)).to.deep.equal(message);
    expect(inside.outbox).to.deep.equal([]);
    const guest = clientOf(url(), await member(url(), owner, room, 'r')).room(room.uuid);
    await guest.joined();
    expect(guest.messages.map(({ seq }) => seq)).to.deep.equal([1, 2, 3]);
  });
});

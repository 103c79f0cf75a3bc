import { expect } from 'chai';
import type { ClientWindow } from '../../src/client/client.ts';
import { createClient, expectNoGaps, recordMessages } from '../helpers/client.ts';
import { databaseSession } from '../helpers/database-session.ts';
import { describeOneWiring } from '../helpers/node.ts';
import { freshDatabase } from '../helpers/postgres.ts';
import { createRoomWithOwner, sendMessages } from '../helpers/rooms.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const count = 50_000;
const keep = 1_000;

describeOneWiring('the client in a room of 50,000 messages', ({ startNode }) => {
  async function openRoom() {
    const DATABASE_URL = await freshDatabase();
    const { url } = await startNode({ DATABASE_URL });
    const { owner, room } = await createRoomWithOwner(url);
    const session = await databaseSession(DATABASE_URL);
    await session.query(
      `insert into messages (room_id, seq, rev, emitter, content, created_at, updated_at)
       select $1, n, n, $2, 'text ' || n, now(), now() from generate_series(1, ${count}) n`,
      [room.id, owner.user],
    );
    await session.query(`update rooms set last_seq = ${count}, last_rev = ${count} where id = $1`, [room.id]);
    const clientRoom = createClient(url, owner, { transports: ['websocket'] }).room(room.id);
    await clientRoom.joined();
    return { url, owner, room, clientRoom };
  }

  const ends = ({ messages }: Pick<ClientWindow, 'messages'>) => [messages[0]!.seq, messages.at(-1)!.seq];

  it('moves a window over the history to the newest message, never with a gap or more than 1,000 messages', async function () {
    this.timeout(60_000);
    const { url, owner, room, clientRoom } = await openRoom();
    const window = clientRoom.around(count / 2);
    window.on('change', () => {});
    await window.loaded();
    expect(ends(window)).to.deep.equal([count / 2 - 50, count / 2 + 49]);
    for (const load of ['loadOlder', 'loadNewer', 'loadNewer', 'loadNewer', 'loadOlder'] as const) {
      await window[load](500);
      expect(window.messages.length).to.be.at.most(keep);
      expectNoGaps(window);
    }
    expect(ends(window)).to.deep.equal([25_050, 26_049]);
    const received = recordMessages(clientRoom);
    await sendMessages(url, owner, room, 'live');
    await clientRoom.edit(25_500, 'edited').confirmed;
    await waitUntil('the room has the message', () => received.length === 1);
    expect(window.messages.find(({ seq }) => seq === 25_500)).to.include({ content: 'edited' });
    expect(ends(window), 'no live message enters').to.deep.equal([25_050, 26_049]);
    const sending = sendMessages(url, owner, room, 'meanwhile');
    while (window.hasNewer) {
      await window.loadNewer(500);
      expect(window.messages.length).to.be.at.most(keep);
      expectNoGaps(window);
    }
    await sending;
    await sendMessages(url, owner, room, 'at the tail');
    await waitUntil('the window has the message', () => window.messages.at(-1)!.content === 'at the tail');
    expect(ends(window)).to.deep.equal([49_004, 50_003]);
    await waitUntil('the room has it, too', () => received.length === 3);
    expect(window.messages.slice(-clientRoom.messages.length)).to.deep.equal(clientRoom.messages);
  });

  it('jumps to message 100, loads both ways while a message arrives, and jumps back to the newest', async function () {
    this.timeout(60_000);
    const { url, owner, room, clientRoom } = await openRoom();
    const received = recordMessages(clientRoom);
    const window = clientRoom.around(100);
    window.on('change', () => {});
    await window.loaded();
    expect(ends(window)).to.deep.equal([50, 149]);
    await sendMessages(url, owner, room, 'live');
    while (window.hasOlder) await window.loadOlder(30);
    await window.loadNewer(500);
    expect([window.hasOlder, window.hasNewer, ends(window)]).to.deep.equal([false, true, [1, 649]]);
    await waitUntil('the room has the message', () => received.length === 1);
    const page = await window.loadLatest();
    expect([page.length, window.hasNewer, ends(window)]).to.deep.equal([100, false, [count - 98, count + 1]]);
    await sendMessages(url, owner, room, 'at the newest');
    await waitUntil('the window has the message', () => window.messages.at(-1)!.content === 'at the newest');
    expectNoGaps(window);
    expect(received).to.deep.equal(['live', 'at the newest']);
  });
});

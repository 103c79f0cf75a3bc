import { expect } from 'chai';
import { createClient, expectNoGaps, recordMessages, toContents } from '../helpers/client.ts';
import { freePort } from '../helpers/free-port.ts';
import { freshDatabase } from '../helpers/postgres.ts';
import { runServer } from '../helpers/process.ts';
import { createMember, createRoomWithOwner } from '../helpers/rooms.ts';
import { testSecret } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const contents = Array.from({ length: 90 }, (_, n) => `message ${n + 1}`);

describe('the client of a service that restarts', function () {
  this.timeout(120_000);

  it('stores, shows and delivers every message once and in order if the service is killed while clients send', async () => {
    const limits = { SEND_RATE: 0, REQUEST_RATE: 0, RULE_RATE: 0, MAX_CONNECTIONS_PER_USER: 0 };
    const address = { PORT: await freePort(), DATABASE_URL: await freshDatabase(), JWT_SECRET: testSecret };
    const settings = { ...address, ...limits };
    let server = await runServer(settings);
    const { url } = server;
    const { owner, room } = await createRoomWithOwner(url);
    const sending = createClient(url, owner).room(room.id);
    const listening = createClient(url, await createMember(url, owner, room)).room(room.id);
    await Promise.all([sending.joined(), listening.joined()]);
    const received = recordMessages(listening);
    const sent = contents.map((content) => sending.send(content));
    const sentUpTo = (count: number) =>
      waitUntil(`${count} are sent`, () => sent.filter(({ state }) => state === 'sent').length >= count, 60_000);

    await sentUpTo(contents.length / 3);
    server.kill('SIGKILL');
    await server.exited;
    await waitUntil(
      'both clients have lost the connection',
      () => sending.state === 'reconnecting' && listening.state === 'reconnecting',
      20_000,
    );
    expect(sent.at(-1)!.state).to.equal('pending');
    server = await runServer(settings);

    await sentUpTo(contents.length);
    await Promise.all([sending.joined(), listening.joined()]);
    await waitUntil(
      'all messages have arrived',
      () => received.length >= contents.length && sending.outbox.length === 0,
      20_000,
    );
    expect(received).to.deep.equal(contents);
    const fresh = createClient(url, owner).room(room.id);
    await fresh.joined();
    for (const room of [sending, listening, fresh]) {
      expectNoGaps(room);
      expect(toContents(room)).to.deep.equal(contents);
    }
  });
});

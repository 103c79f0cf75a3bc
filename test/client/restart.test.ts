import { expect } from 'chai';
import { clientOf, contentsOf, expectWhole, heardIn } from '../helpers/client.ts';
import { freePort } from '../helpers/free-port.ts';
import { testSecret } from '../helpers/people.ts';
import { freshDatabase } from '../helpers/postgres.ts';
import { runServer } from '../helpers/process.ts';
import { member, ownRoom } from '../helpers/rooms.ts';
import { until } from '../helpers/until.ts';

const contents = Array.from({ length: 90 }, (_, n) => `message ${n + 1}`);

describe('the client of a service that ends and comes back', function () {
  this.timeout(120_000);

  it('killed while it sends: everything is stored, shown and heard once, in order', async () => {
    const limits = { SEND_RATE: 0, REQUEST_RATE: 0, RULE_RATE: 0, MAX_CONNECTIONS_PER_USER: 0 };
    const place = { PORT: await freePort(), DATABASE_URL: await freshDatabase(), JWT_SECRET: testSecret };
    const settings = { ...place, ...limits };
    let server = await runServer(settings);
    const { url } = server;
    const { owner, room } = await ownRoom(url);
    const sending = clientOf(url, owner).room(room.id);
    const listening = clientOf(url, await member(url, owner, room)).room(room.id);
    await Promise.all([sending.joined(), listening.joined()]);
    const heard = heardIn(listening);
    const sent = contents.map((content) => sending.send(content));
    const sentUpTo = (count: number) =>
      until(`${count} are sent`, () => sent.filter(({ state }) => state === 'sent').length >= count, 60_000);

    await sentUpTo(contents.length / 3);
    server.kill('SIGKILL');
    await server.exited;
    await until(
      'they have noticed',
      () => sending.state === 'reconnecting' && listening.state === 'reconnecting',
      20_000,
    );
    expect(sent.at(-1)!.state).to.equal('pending');
    server = await runServer(settings);

    await sentUpTo(contents.length);
    await Promise.all([sending.joined(), listening.joined()]);
    await until('all are heard', () => heard.length >= contents.length && sending.outbox.length === 0, 20_000);
    expect(heard).to.deep.equal(contents);
    const fresh = clientOf(url, owner).room(room.id);
    await fresh.joined();
    for (const one of [sending, listening, fresh]) {
      expectWhole(one);
      expect(contentsOf(one)).to.deep.equal(contents);
    }
  });
});

import { randomBytes } from 'node:crypto';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { openEmbedded } from '../../src/database/embedded-database.ts';
import { migratedDirectory } from '../helpers/embedded-template.ts';
import { embedded, startNode } from '../helpers/node.ts';
import { expectRefusal } from '../helpers/refusals.ts';
import { rest } from '../helpers/rest-client.ts';
import { createRoom, sendMessages } from '../helpers/rooms.ts';
import { smallDisk } from '../helpers/small-disk.ts';
import { createUser } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

describe('The embedded database on a full disk', function () {
  this.timeout(60_000);

  async function databaseOnDisk(context: Mocha.Context) {
    const disk = smallDisk(100);
    if (!disk) {
      console.log('      skipped: this user cannot mount a disk');
      return context.skip();
    }
    const DATA_DIR = join(disk.directory, 'data');
    await cp(await migratedDirectory(), DATA_DIR, { recursive: true });
    return { ...disk, DATA_DIR };
  }

  it('refuses writes with UNAVAILABLE on a full disk, answers reads, and recovers once there is space', async function () {
    const { DATA_DIR, fill, makeRoom } = await databaseOnDisk(this);
    const { url } = await startNode(embedded, { DATA_DIR });
    const owner = createUser({ level: 100 });
    const room = await createRoom(url, owner);
    await sendMessages(url, owner, room, 'before');

    fill(12);
    const client = rest(url, owner.token);
    const send = () => client.post(`/rooms/${room.id}/messages`, { content: 'while it is full' });
    await waitUntil('the free space is looked at again', async () => (await send()).status === 503);
    expectRefusal(await send(), 'UNAVAILABLE');
    expectRefusal(await client.post('/rooms', { name: 'no room for a room' }), 'UNAVAILABLE');
    expect((await client.get(`/rooms/${room.id}/messages`)).status).to.equal(200);
    expect((await rest(url).get('/readyz')).status).to.equal(503);

    makeRoom();
    await waitUntil('there is room again', async () => (await send()).status === 201);
    expect((await rest(url).get('/readyz')).status).to.equal(200);
  });

  it('stops at a fatal error of PostgreSQL without hanging, and reports the failure once', async function () {
    const { DATA_DIR, fill } = await databaseOnDisk(this);
    const failures: Error[] = [];
    const onFailure = (error: Error) => void failures.push(error);
    const { orm, pglite, assertUsable, release } = await openEmbedded(DATA_DIR, { onFailure });
    await pglite.query('create table filler (content text)');
    fill(12);
    const insert = () => pglite.query('insert into filler values ($1)', [randomBytes(1_000_000).toString('base64')]);
    let error: Error | undefined;
    for (let n = 0; n < 100 && !error; n++) await insert().catch((refusal: Error) => (error = refusal));
    expect(error?.message).to.match(/no space left on the disk/);

    for (let n = 0; n < 3; n++) {
      const next = await pglite.query('select 1').catch((refusal: Error) => refusal);
      expect((next as Error).message).to.include('The embedded database has stopped');
    }
    expect(assertUsable).to.throw('has stopped');
    expect(failures.map(({ message }) => message).join()).to.match(
      /^The embedded database has stopped: .*no space left/,
    );
    await orm.close(true);
    release();
  });
});

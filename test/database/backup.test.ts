import { execFileSync } from 'node:child_process';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { migratedDirectory } from '../helpers/embedded-template.ts';
import { postgres, startNode } from '../helpers/node.ts';
import { emptyDatabase, freshDatabase } from '../helpers/postgres.ts';
import { findPostgres } from '../helpers/postgres-binaries.ts';
import { dataDirectory, runServer } from '../helpers/process.ts';
import { rest } from '../helpers/rest-client.ts';
import { nowSeconds, revoke } from '../helpers/revocations.ts';
import { createRoom, sendMessages } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { onEveryTransport, tryToken } from '../helpers/token-outcomes.ts';
import { createUser, type TestUser, testSecret } from '../helpers/users.ts';

/** As docs/operations/backup.md describes it. */
function copied(database: string, empty: string): void {
  const run = (program: string, ...words: string[]) =>
    execFileSync(join(findPostgres(), program), words, { stdio: ['ignore', 'pipe', 'inherit'] });
  const file = join(dataDirectory(), '..', 'chat.dump');
  run('pg_dump', '--format=custom', `--dbname=${database}`, `--file=${file}`);
  run('pg_restore', '--exit-on-error', '--no-owner', `--dbname=${empty}`, file);
}

const contents = async (url: string, { token }: TestUser, room: { id: number }): Promise<string[]> =>
  (await rest(url, token).get(`/rooms/${room.id}/messages`)).body.content.map(
    ({ content }: { content: string }) => content,
  );

describe('A backup', function () {
  this.timeout(60_000);

  it('restores the service from a PostgreSQL backup as of its time, and clients with later data detect it', async () => {
    const [DATABASE_URL, restored] = [await freshDatabase(), await emptyDatabase()];
    const before = await startNode(postgres, { DATABASE_URL });
    const owner = createUser({ level: 100 });
    const [goneBefore, goneAfter] = [createUser({ iat: nowSeconds() - 60 }), createUser({ iat: nowSeconds() - 60 })];
    const room = await createRoom(before.url, owner);
    await sendMessages(before.url, owner, room, 'one');
    const socket = await socketClient(before.url, owner);
    const kept = (await socket.request('room:join', { room_id: room.id })).cursor;
    await revoke(before.url, { userUUID: goneBefore.user, issued_before: nowSeconds() });

    copied(DATABASE_URL, restored);

    await sendMessages(before.url, owner, room, 'lost');
    const lost = (await socket.next('message:new')).cursor;
    const lostRoom = await createRoom(before.url, owner);
    await revoke(before.url, { userUUID: goneAfter.user, issued_before: nowSeconds() });
    await before.close();

    const { url } = await startNode(postgres, { DATABASE_URL: restored });
    expect(await contents(url, owner, room)).to.deep.equal(['one']);
    const back = await socketClient(url, owner);
    const join = (since: string) => back.request('room:join', { room_id: room.id, since });
    expect(await join(kept)).to.deep.include({ recovered: true, events: [] });
    expect(await join(lost)).to.deep.include({ recovered: false, events: [] });
    await sendMessages(url, owner, room, 'new');
    // The same change number now belongs to a different change.
    expect(await join(lost)).to.deep.include({ recovered: false, events: [] });
    expect(
      (await join(kept)).events.map(({ payload }: { payload: { content: string } }) => payload.content),
    ).to.deep.equal(['new']);
    expect(await tryToken(url, goneBefore.token)).to.deep.equal(onEveryTransport('TOKEN_REVOKED'));
    expect(await tryToken(url, goneAfter.token)).to.deep.equal(onEveryTransport('accepted'));
    expect((await rest(url, owner.token).get(`/rooms/${lostRoom.uuid}`)).status).to.equal(404);
    expect((await createRoom(url, owner)).id, 'numbers are given again, UUIDs are not').to.equal(lostRoom.id);
  });

  it('restores the embedded database from a copy of its directory that was made after the server stopped', async () => {
    const DATA_DIR = await migratedDirectory();
    const copy = dataDirectory();
    const owner = createUser({ level: 100 });
    const first = await runServer({ DATA_DIR, JWT_SECRET: testSecret });
    const room = await createRoom(first.url, owner);
    await sendMessages(first.url, owner, room, 'one');
    first.kill('SIGTERM');
    expect(await first.exited).to.include({ code: 0 });
    cpSync(DATA_DIR, copy, { recursive: true });
    const { url } = await runServer({ DATA_DIR: copy, JWT_SECRET: testSecret });
    expect(await contents(url, owner, room)).to.deep.equal(['one']);
    await sendMessages(url, owner, room, 'two');
    expect(await contents(url, owner, room)).to.deep.equal(['one', 'two']);
  });
});

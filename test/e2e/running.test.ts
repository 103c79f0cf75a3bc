import { readFileSync, statSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { chatInRoom } from '../helpers/chat-client.ts';
import { migratedDirectory } from '../helpers/embedded-template.ts';
import { emptyDatabase, freshDatabase } from '../helpers/postgres.ts';
import { dataDirectory, runCommand, runServer } from '../helpers/process.ts';
import { expectRefusal } from '../helpers/refusals.ts';
import { rest } from '../helpers/rest-client.ts';
import { createRoom, sendMessages } from '../helpers/rooms.ts';
import { tcpProxy } from '../helpers/tcp-proxy.ts';
import { createUser, type TestUser, testSecret } from '../helpers/users.ts';

/** A person of the service whose key this process does not know. */
async function personOf(DATA_DIR: string): Promise<TestUser> {
  const person = createUser({ level: 100 });
  const args = ['--user', person.user, '--entity', person.entity, '--level', '100'];
  const { code, output } = await runCommand('bin/token.ts', { DATA_DIR }, args).exited;
  expect(code, output).to.equal(0);
  return { ...person, token: output.trim() };
}

const historyOf = async (url: string, { token }: TestUser, room: { id: number }): Promise<string[]> =>
  (await rest(url, token).get(`/rooms/${room.id}/messages?limit=500`)).body.content.map(
    ({ content }: { content: string }) => content,
  );

async function takenPort(): Promise<[port: number, free: () => void]> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return [(server.address() as AddressInfo).port, () => server.close()];
}

describe('The embedded default', function () {
  this.timeout(60_000);

  describe('that is running', () => {
    let DATA_DIR: string;
    let url: string;
    let pid: number;

    before(async () => {
      DATA_DIR = dataDirectory();
      const { child, ...server } = await runServer({ DATA_DIR, HOST: undefined });
      [url, pid] = [server.url, child.pid!];
    });

    it('listens on the loopback interface and is ready', async () => {
      expect(new URL(url).hostname).to.equal('127.0.0.1');
      expect((await rest(url).get('/healthz')).status).to.equal(200);
      expect((await rest(url).get('/readyz')).status).to.equal(200);
    });

    it('has made its key, for its owner alone: mode 0600', () => {
      expect(statSync(join(DATA_DIR, 'jwt-secret')).mode & 0o777).to.equal(0o600);
      expect(statSync(DATA_DIR).mode & 0o077).to.equal(0);
    });

    it('takes the tokens of `npm run token`, and no others', async () => {
      const owner = await personOf(DATA_DIR);
      const room = await createRoom(url, owner);
      expect(room).to.include({ user_owner: owner.user, entity_owner: owner.entity });
      expectRefusal(await rest(url, createUser().token).get('/rooms'), 'UNAUTHENTICATED');
    });

    it('keeps its data directory to itself: a second process says so and ends', async () => {
      const { code, output } = await runCommand('bin/start.ts', { DATA_DIR, PORT: 0 }).exited;
      expect(code).to.be.above(0);
      expect(output).to.include(DATA_DIR).and.include(`process ${pid}`);
      expect(output).to.not.match(/\n\s+at /);
      expect((await rest(url).get('/readyz')).status).to.equal(200);
    });
  });

  it('keeps what it acknowledged, and its key, through kill -9', async () => {
    const DATA_DIR = await migratedDirectory();
    const first = await runServer({ DATA_DIR, SEND_RATE: 0, REQUEST_RATE: 0 });
    const owner = await personOf(DATA_DIR);
    const room = await createRoom(first.url, owner);
    const acknowledged: string[] = [];
    const sends = Array.from({ length: 200 }, async (_, n) => {
      const { status } = await rest(first.url, owner.token).post(`/rooms/${room.id}/messages`, { content: `${n}` });
      if (status === 201 && acknowledged.push(`${n}`) === 100) first.kill('SIGKILL');
    });
    await Promise.allSettled(sends);
    expect(await first.exited).to.include({ signal: 'SIGKILL' });
    const key = readFileSync(join(DATA_DIR, 'jwt-secret'), 'utf8');

    const { url } = await runServer({ DATA_DIR });
    expect(await historyOf(url, owner, room)).to.include.members(acknowledged);
    expect(readFileSync(join(DATA_DIR, 'jwt-secret'), 'utf8')).to.equal(key);
    await sendMessages(url, owner, room, 'and on it goes');
  });

  it('makes no key where one is configured, closes /chat with 1001 on SIGTERM, ends with 0 and keeps its rows', async () => {
    const DATA_DIR = await migratedDirectory();
    const env = { DATA_DIR, JWT_SECRET: testSecret };
    const first = await runServer(env);
    const owner = createUser({ level: 100 });
    const room = await createRoom(first.url, owner);
    expect(() => statSync(join(DATA_DIR, 'jwt-secret'))).to.throw('ENOENT');
    const chat = await chatInRoom(first.url, owner, room.id);
    await sendMessages(first.url, owner, room, 'before the end');
    first.kill('SIGTERM');
    expect(await chat.closed).to.equal(1001);
    expect(await first.exited).to.include({ code: 0, signal: null });
    const { url } = await runServer(env);
    expect(await historyOf(url, owner, room)).to.deep.equal(['before the end']);
  });
});

describe('A wrong configuration', function () {
  this.timeout(60_000);

  it('is refused with all mistakes at once, by their names and without a stack', async () => {
    const wrong = {
      PORT: 'abc',
      SEND_RATE: '-1',
      METRICS_TOKEN: 'short',
      LOG_LEVEL: 'loud',
      DATABASE_URL: 'mysql://x',
    };
    const { code, output } = await runCommand('bin/start.ts', wrong).exited;
    expect(code).to.be.above(0);
    for (const name of Object.keys(wrong)) expect(output).to.include(name);
    expect(output).to.not.match(/\n\s+at /);
  });

  const keys: Record<string, Record<string, string>> = {
    'no key beside DATABASE_URL (the original took unsigned tokens)': { DATABASE_URL: 'postgresql://127.0.0.1/x' },
    'an empty JWT_SECRET': { JWT_SECRET: '' },
    'two sources of keys': { JWT_SECRET: testSecret, JWT_JWKS_URL: 'https://localhost/jwks.json' },
    'a key set over http': { JWT_JWKS_URL: 'http://localhost/jwks.json' },
    'a public key that is none': { JWT_PUBLIC_KEY: 'secret' },
  };
  for (const [title, env] of Object.entries(keys)) {
    it(`is ${title}: it does not start`, async () => {
      const { code, output } = await runCommand('bin/start.ts', { PORT: '0', DATA_DIR: dataDirectory(), ...env })
        .exited;
      expect(code).to.be.above(0);
      expect(output)
        .to.include('JWT_')
        .and.not.match(/\n\s+at /);
    });
  }
});

describe('One node with DATABASE_URL', function () {
  this.timeout(300_000);
  const env = { JWT_SECRET: testSecret };

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`starts, is ready, and ends with 0 on ${signal}`, async () => {
      const server = await runServer({ ...env, DATABASE_URL: await freshDatabase() });
      expect((await rest(server.url).get('/readyz')).status).to.equal(200);
      const owner = createUser({ level: 100 });
      await sendMessages(server.url, owner, await createRoom(server.url, owner), 'hello');
      server.kill(signal);
      expect(await server.exited).to.include({ code: 0, signal: null });
    });
  }

  it('ends with 0 though a client has sent half a request', async () => {
    const server = await runServer({ ...env, DATABASE_URL: await freshDatabase() });
    const { token } = createUser();
    const { port } = new URL(server.url);
    const half = connect(Number(port), '127.0.0.1');
    half.on('error', () => {}); // it is cut off in the end
    const headers = `Host: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: 9`;
    half.write(`POST /rooms HTTP/1.1\r\n${headers}\r\n\r\n{`);
    expect((await rest(server.url).get('/readyz')).status).to.equal(200);
    server.kill('SIGTERM');
    expect(await server.exited).to.include({ code: 0 });
  });

  it('says which port is taken', async () => {
    const [taken, free] = await takenPort();
    const { code, output } = await runCommand('bin/start.ts', {
      ...env,
      DATABASE_URL: await freshDatabase(),
      PORT: taken,
    }).exited;
    free();
    expect(code).to.be.above(0);
    expect(output)
      .to.include(String(taken))
      .and.not.match(/\n\s+at /);
  });

  it('is migrated by whichever of many processes is first, and by `npm run migrate`', async () => {
    const DATABASE_URL = await emptyDatabase();
    const starts = [1, 2, 3].map(() => runServer({ ...env, DATABASE_URL }));
    // Whichever key it has: migrating takes none.
    const migration = runCommand('bin/migrate.ts', { JWT_JWKS_URL: 'https://keys.example/jwks', DATABASE_URL });
    const servers = await Promise.all(starts);
    expect(await migration.exited).to.include({ code: 0 });
    for (const { url } of servers) expect((await rest(url).get('/readyz')).status).to.equal(200);
  });

  it('without its database ends and says so (the original hung)', async () => {
    // The operating system gives this port to nobody.
    const DATABASE_URL = 'postgresql://nobody@127.0.0.1:1/nothing';
    const { code, output } = await runCommand('bin/start.ts', { ...env, DATABASE_URL, PORT: 0 }).exited;
    expect(code).to.be.above(0);
    expect(output)
      .to.include('ECONNREFUSED')
      .and.not.match(/\n\s+at /);
  });

  it('lives on while its database is away, answers UNAVAILABLE, and goes on when it is back', async () => {
    const database = new URL(await freshDatabase());
    const line = await tcpProxy(database.hostname, Number(database.port || 5432));
    database.host = `127.0.0.1:${line.port}`;
    const { url } = await runServer({ ...env, DATABASE_URL: database.href });
    const owner = createUser({ level: 100 });
    const room = await createRoom(url, owner);
    const client = rest(url, owner.token);
    await sendMessages(url, owner, room, 'before');

    line.cut();
    expectRefusal(await client.get('/rooms'), 'UNAVAILABLE');
    expectRefusal(await client.post('/rooms', { name: 'now' }), 'UNAVAILABLE');
    expectRefusal(await client.post(`/rooms/${room.id}/messages`, { content: 'lost' }), 'UNAVAILABLE');
    expect((await rest(url).get('/readyz')).status).to.equal(503);
    expect((await rest(url).get('/healthz')).status).to.equal(200);

    line.restore();
    expect((await client.get('/rooms')).status).to.equal(200);
    expect((await rest(url).get('/readyz')).status).to.equal(200);
    await sendMessages(url, owner, room, 'after');
    expect(await historyOf(url, owner, room)).to.deep.equal(['before', 'after']);
  });
});

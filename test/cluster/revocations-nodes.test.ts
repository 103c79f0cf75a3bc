import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { noSignals, type Signals } from '../../src/core/signals.ts';
import { openPostgres } from '../../src/database/open-store.ts';
import { createRevocations } from '../../src/features/revocations/revocations.ts';
import { authenticatedChat, chatClient } from '../helpers/chat-client.ts';
import { closeLater } from '../helpers/cleanup.ts';
import { migratedDirectory } from '../helpers/embedded-template.ts';
import { jwksServer, toPublicJwk } from '../helpers/jwks-server.ts';
import { describeEveryWiring, embedded, postgres, startNode } from '../helpers/node.ts';
import { execute, freshDatabase } from '../helpers/postgres.ts';
import { runServer } from '../helpers/process.ts';
import { expectRefusal } from '../helpers/refusals.ts';
import { rest } from '../helpers/rest-client.ts';
import { admin, liftRevocation, nowSeconds, revoke } from '../helpers/revocations.ts';
import { expectConnectError, socketClient } from '../helpers/socket-client.ts';
import { tcpProxy } from '../helpers/tcp-proxy.ts';
import { onEveryTransport, tryToken } from '../helpers/token-outcomes.ts';
import { adminToken, createUser, sign, type TestUser, testSecret, withClaims } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const welcome = onEveryTransport('accepted');
const revoked = onEveryTransport('TOKEN_REVOKED');
/** The interval with its jitter of a quarter, and the time of the read. */
const sweepMs = 1_000;
const oneSweepMs = 1.25 * sweepMs + 500;
/** For a busy machine. */
const slackMs = 5_000;

/** Nodes that share only a database. */
async function nodesWithoutBus(DATABASE_URL: string, count = 2): Promise<string[]> {
  const starts = Array.from({ length: count }, () => startNode(postgres, { DATABASE_URL, SWEEP_SECONDS: 1 }));
  return (await Promise.all(starts)).map(({ url }) => url);
}

/** Retries until the token has this outcome, for a few reconciliations. */
async function becomes(url: string, { token }: Pick<TestUser, 'token'>, status: number): Promise<void> {
  const deadline = Date.now() + 3 * oneSweepMs + slackMs;
  while ((await rest(url, token).get('/rooms')).status !== status) {
    if (Date.now() > deadline) throw new Error(`The token was not answered ${status}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe('Revocations on two nodes without a bus', () => {
  it('closes the connections of a revoked token on the other node within one reconciliation, and lifts the revocation there', async () => {
    const [one, other] = (await nodesWithoutBus(await freshDatabase())) as [string, string];
    const person = createUser({ jti: randomUUID() });
    const [socket, chat] = [await socketClient(other, person), await authenticatedChat(other, person)];
    const begun = Date.now();
    const revocation = await revoke(one, { jti: person.claims.jti });
    expect(await tryToken(one, person.token), 'at once where it was asked for').to.deep.equal(revoked);
    expect(await socket.closed).to.equal('io server disconnect');
    expect(await chat.closed).to.equal(4403);
    expect(Date.now() - begun).to.be.below(oneSweepMs + slackMs);
    expect(await tryToken(other, person.token)).to.deep.equal(revoked);
    await liftRevocation(other, revocation);
    expect(await tryToken(other, person.token)).to.deep.equal(welcome);
    await becomes(one, person, 200);
  });

  it('applies all revocations on both nodes if many are written on both at once', async () => {
    const urls = await nodesWithoutBus(await freshDatabase());
    const people = Array.from({ length: 24 }, () => createUser());
    await Promise.all(
      people.map(({ user }, n) => revoke(urls[n % 2]!, { userUUID: user, issued_before: nowSeconds() })),
    );
    for (const url of urls) for (const person of people) await becomes(url, person, 401);
  });

  it('applies revocations of the other node once the database is available again', async () => {
    const database = new URL(await freshDatabase());
    const line = await tcpProxy(database.hostname, Number(database.port));
    const [steady] = (await nodesWithoutBus(database.href, 1)) as [string];
    const [cutOff] = (await nodesWithoutBus(
      Object.assign(new URL(database), { host: `127.0.0.1:${line.port}` }).href,
      1,
    )) as [string];
    const person = createUser();
    const chat = await authenticatedChat(cutOff, person);
    line.cut();
    await revoke(steady, { userUUID: person.user, issued_before: nowSeconds() });
    for (const answer of [
      await admin(cutOff).post('/admin/revocations', { jti: 'x' }),
      await admin(cutOff).get('/admin/revocations'),
      await admin(cutOff).delete('/admin/revocations/1'),
    ]) {
      expectRefusal(answer, 'UNAVAILABLE');
    }
    // A failed reconciliation ends neither the process nor the next reconciliations.
    await new Promise((resolve) => setTimeout(resolve, oneSweepMs));
    chat.send({ type: 'fence' });
    expect(await chat.next()).to.include({ data: 'COMMAND?' });
    line.restore();
    expect(await chat.closed).to.equal(4403);
    await becomes(cutOff, person, 401);
  });

  it('logs a warning if the revocations cannot be read, without ADMIN_TOKEN and without any jti', async () => {
    const database = new URL(await freshDatabase());
    const line = await tcpProxy(database.hostname, Number(database.port));
    const DATABASE_URL = Object.assign(database, { host: `127.0.0.1:${line.port}` }).href;
    const settings = { DATABASE_URL, SWEEP_SECONDS: 1, JWT_SECRET: testSecret, ADMIN_TOKEN: adminToken };
    const { url, readOutput, kill, exited } = await runServer({ ...settings, LOG_LEVEL: 'trace' });
    const jti = 'the name of a token';
    const { id } = await revoke(url, { jti });
    await liftRevocation(url, { id });
    expectRefusal(await rest(url, `${adminToken}x`).post('/admin/revocations', { jti }), 'UNAUTHENTICATED');
    line.cut();
    expectRefusal(await admin(url).post('/admin/revocations', { jti }), 'UNAVAILABLE');
    const warning = /"level":"warn",.*"reading the revocations failed; retrying"/;
    await waitUntil('the warning', () => warning.test(readOutput()));
    kill('SIGTERM');
    const { output } = await exited;
    expect(output).to.include('/admin/revocations').and.not.include(adminToken).and.not.include(jti);
  });

  it('lifts revocations that a restored backup does not contain', async () => {
    const database = await freshDatabase();
    const [url] = (await nodesWithoutBus(database, 1)) as [string];
    const [kept, lost, later] = [createUser(), createUser(), createUser()];
    for (const { user } of [kept, lost]) await revoke(url, { userUUID: user, issued_before: nowSeconds() });
    // The id is used again, as after a restore.
    await execute(
      database,
      `delete from revocations where user_uuid = '${lost.user}'; alter table revocations alter id restart with 2`,
    );
    await becomes(url, lost, 200);
    await revoke(url, { userUUID: later.user, issued_before: nowSeconds() });
    for (const person of [kept, later]) expect(await tryToken(url, person.token)).to.deep.equal(revoked);
  });

  it('deletes revocations an hour after they were lifted, when the next revocation is written', async () => {
    const database = await freshDatabase();
    const [url] = (await nodesWithoutBus(database, 1)) as [string];
    const [old, recent] = [await revoke(url, { jti: 'old' }), await revoke(url, { jti: 'recent' })];
    for (const each of [old, recent]) await liftRevocation(url, each);
    await execute(database, `update revocations set lifted_at = now() - interval '61 minutes' where jti = 'old'`);
    await revoke(url, { jti: 'next' });
    // An existing row would conflict with a new row of the same id.
    const takesIdOf = ({ id }: { id: number }) => {
      const row = `(${id}, 'instead of ${id}', ${id} + 1000, now())`;
      return execute(
        database,
        `insert into revocations (id, jti, version, created_at) overriding system value values ${row}`,
      );
    };
    await takesIdOf(old);
    expect(
      await takesIdOf(recent).then(
        () => 'gone',
        () => 'kept',
      ),
    ).to.equal('kept');
  });
});

describe('Revocations on nodes that exchange signals', () => {
  it('runs one query for the revocations per reconciliation while nothing changes', async () => {
    const settings = { databaseUrl: await freshDatabase(), poolSize: 2, statementTimeoutMs: 5_000 };
    const store = await openPostgres(settings);
    closeLater(() => store.close());
    let queries = 0;
    const query: typeof store.query = (...asked) => {
      queries += 1;
      return store.query(...asked);
    };
    const report = { failed() {}, recovered() {} };
    const one = createRevocations({
      store: { ...store, query },
      signals: noSignals,
      reconcileIntervalMs: 600_000,
      report,
    });
    await one.open();
    closeLater(() => one.close());
    await one.revoke({ user: null, issuedBefore: null, jti: 'x' });
    queries = 0;
    for (let sweep = 1; sweep <= 3; sweep++) {
      await one.refresh();
      expect(queries).to.equal(sweep);
    }
  });

  it('applies revocations on the other node at once after a signal, and logs a failure there', async () => {
    const poolSize = 2;
    const settings = { databaseUrl: await freshDatabase(), poolSize, statementTimeoutMs: 5_000 };
    const [store, otherStore] = [await openPostgres(settings), await openPostgres(settings)];
    for (const each of [store, otherStore]) closeLater(() => each.close());
    const listeners = new Set<() => void>();
    const signals: Signals = {
      send: () => {
        for (const listener of listeners) listener();
      },
      onSignal: (_name, listener) => {
        listeners.add(listener);
        return () => void listeners.delete(listener);
      },
    };
    const failures: unknown[] = [];
    const report = { failed: (error: unknown) => void failures.push(error), recovered() {} };
    const one = createRevocations({ store, signals: noSignals, reconcileIntervalMs: 600_000, report });
    const calling = createRevocations({ store, signals, reconcileIntervalMs: 600_000, report });
    const other = createRevocations({ store: otherStore, signals, reconcileIntervalMs: 600_000, report });
    for (const each of [one, calling, other]) {
      await each.open();
      closeLater(() => each.close());
    }
    const told = new Promise((resolve) => other.onChange(resolve));
    await calling.revoke({ user: null, issuedBefore: null, jti: 'x' });
    const token = { actor: createUser(), issuedAt: 0, jti: 'x' };
    expect(calling.isRevoked(token)).to.equal(true);
    await told;
    expect([other.isRevoked(token), one.isRevoked(token)]).to.deep.equal([true, false]);
    await otherStore.close();
    await calling.revoke({ user: null, issuedBefore: null, jti: 'y' });
    while (failures.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(failures[0]).to.have.property('code', 'UNAVAILABLE');
    other.close();
    expect(listeners).to.have.property('size', 1);
  });
});

describe('Revocations and a restart', () => {
  it('keeps revocations over a restart with a data directory', async () => {
    const DATA_DIR = await migratedDirectory();
    const person = createUser();
    const first = await startNode(embedded, { DATA_DIR });
    await revoke(first.url, { userUUID: person.user, issued_before: nowSeconds() });
    await first.close();
    const second = await startNode(embedded, { DATA_DIR });
    expect(await tryToken(second.url, person.token)).to.deep.equal(revoked);
  });

  it('applies revocations to the first request on a node that starts later', async () => {
    const database = await freshDatabase();
    const [url] = (await nodesWithoutBus(database, 1)) as [string];
    const person = createUser();
    const revocation = await revoke(url, { userUUID: person.user, issued_before: nowSeconds() });
    const [second] = (await nodesWithoutBus(database, 1)) as [string];
    expect(await tryToken(second, person.token)).to.deep.equal(revoked);
    await liftRevocation(url, revocation);
    const [third] = (await nodesWithoutBus(database, 1)) as [string];
    expect(await tryToken(third, person.token)).to.deep.equal(welcome);
  });
});

describeEveryWiring('A token that is revoked while it is verified', ({ startNode }) => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 });

  it('rejects a token on all transports if it is revoked while it is verified', async () => {
    const jwks = await jwksServer([toPublicJwk(publicKey, 'rsa')]);
    const release = jwks.holdAnswers();
    const { url } = await startNode({ JWT_SECRET: undefined, JWT_JWKS_URL: jwks.url });
    const signed = (claims: object) => sign(claims, { alg: 'RS256', secret: privateKey, header: { kid: 'rsa' } });
    const person = createUser();
    const token = signed(person.claims);
    const chat = await chatClient(url);
    expect(await chat.next()).to.include({ data: 'START?' });
    const refusal = expectConnectError(url, { token });
    const answer = rest(url, token).get('/rooms');
    chat.send({ type: 'token', content: token });
    while (jwks.fetchCount === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    await revoke(url, { userUUID: person.user, issued_before: nowSeconds() });
    release();
    expect((await refusal).data).to.include({ code: 'TOKEN_REVOKED' });
    expectRefusal(await answer, 'TOKEN_REVOKED');
    expect(await chat.next()).to.include({ data: 'TOKEN?', reason: 'TOKEN_REVOKED' });
    expect(await tryToken(url, signed(withClaims(person, { iat: nowSeconds() + 60 }).claims))).to.deep.equal(welcome);
  });
});

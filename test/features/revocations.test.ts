import { randomUUID } from 'node:crypto';
import { request } from 'node:http';
import { expect } from 'chai';
import { authenticatedChat, chatInRoom } from '../helpers/chat-client.ts';
import { describeEveryWiring } from '../helpers/node.ts';
import { expectRefusal } from '../helpers/refusals.ts';
import { rest } from '../helpers/rest-client.ts';
import {
  liftRevocation as liftOn,
  nowSeconds,
  revoke as revokeOn,
  waitForRevocations,
} from '../helpers/revocations.ts';
import { createRoom, createRoomWithOwner } from '../helpers/rooms.ts';
import { expectConnectError, socketClient } from '../helpers/socket-client.ts';
import { onEveryTransport, tryToken } from '../helpers/token-outcomes.ts';
import { createUser, withClaims } from '../helpers/users.ts';

const welcome = onEveryTransport('accepted');
const revoked = onEveryTransport('TOKEN_REVOKED');

describeEveryWiring('A revoked token', ({ url, urls }) => {
  /** Revokes on one node, and waits until all nodes have received the revocation. */
  async function revoke(target: object) {
    const revocation = await revokeOn(url(), target);
    await waitForRevocations(urls());
    return revocation;
  }

  async function lift(revocation: { id: number }) {
    await liftOn(url(), revocation);
    await waitForRevocations(urls());
  }

  it('rejects a token whose numeric jti is revoked, in any notation of the number', async () => {
    for (const write of [(jti: number) => jti, String]) {
      const jti = Math.floor(Math.random() * 2 ** 50);
      const person = createUser({ jti });
      expect(await tryToken(url(), person.token)).to.deep.equal(onEveryTransport('accepted'));
      expect((await revoke({ jti: write(jti) })).jti).to.equal(String(jti));
      expect(await tryToken(url(), person.token)).to.deep.equal(revoked);
    }
  });

  it('rejects tokens of a user that were issued before the revocation, and accepts newer ones', async () => {
    const bound = nowSeconds();
    const person = createUser({ iat: bound - 1 });
    const [fresh, stranger] = [withClaims(person, { iat: bound }), createUser({ iat: bound - 1 })];
    expect(await tryToken(url(), person.token)).to.deep.equal(welcome);
    const { userUUID, issued_before, jti } = await revoke({ userUUID: person.user, issued_before: bound });
    expect({ userUUID, issued_before, jti }).to.deep.equal({ userUUID: person.user, issued_before: bound, jti: null });
    expect(await tryToken(url(), person.token)).to.deep.equal(revoked);
    for (const { token } of [fresh, stranger]) expect(await tryToken(url(), token)).to.deep.equal(welcome);
  });

  it('treats a token without a valid iat as issued at 0', async () => {
    const person = createUser();
    await revoke({ userUUID: person.user, issued_before: 1 });
    for (const iat of [undefined, null, 0, -5, '1900000000', 'today', [1], 0.5]) {
      expect(await tryToken(url(), withClaims(person, { iat }).token), `iat ${iat}`).to.deep.equal(revoked);
    }
    expect(await tryToken(url(), withClaims(person, { iat: 1 }).token)).to.deep.equal(welcome);
  });

  it('rejects a revoked token that has the user UUID in upper case', async () => {
    const person = createUser();
    await revoke({ userUUID: person.user.toUpperCase(), issued_before: nowSeconds() });
    expect(await tryToken(url(), withClaims(person, { userUUID: person.user.toUpperCase() }).token)).to.deep.equal(
      revoked,
    );
  });

  it('rejects only the token with the revoked jti', async () => {
    const jti = `J ${randomUUID()} é🚀`;
    const person = createUser({ jti, iat: nowSeconds() });
    const others = [jti.toLowerCase(), `${jti} `, undefined, 7].map(
      (other) => withClaims(person, { jti: other }).token,
    );
    expect(await revoke({ jti })).to.include({ jti, userUUID: null, issued_before: null });
    expect(await tryToken(url(), person.token)).to.deep.equal(revoked);
    for (const token of others) expect(await tryToken(url(), token)).to.deep.equal(welcome);
  });

  const dates: [given: string, seconds: number][] = [
    ['2026-11-20T10:00:00Z', 1_795_168_800],
    ['2026-11-20T10:00:00.001Z', 1_795_168_801],
    ['2026-11-20T11:00:00+01:00', 1_795_168_800],
    ['2026-11-20', 1_795_132_800],
  ];
  for (const [issued_before, seconds] of dates) {
    it(`revokes the tokens issued before the date ${issued_before}`, async () => {
      const person = createUser({ iat: seconds - 1 });
      expect(await revoke({ userUUID: person.user, issued_before })).to.include({ issued_before: seconds });
      expect(await tryToken(url(), person.token)).to.deep.equal(revoked);
      expect(await tryToken(url(), withClaims(person, { iat: seconds }).token)).to.deep.equal(welcome);
    });
  }

  it('closes the connections of a revoked token, Socket.IO without a reconnect and /chat with 4403', async () => {
    const { owner: person, room } = await createRoomWithOwner(url());
    const options = { reconnection: true, reconnectionDelay: 1, reconnectionDelayMax: 10 };
    const sockets = [
      await socketClient(url(), person, options),
      await socketClient(url(), person, { ...options, transports: ['polling'] }),
    ];
    for (const socket of sockets) await socket.request('room:join', { room_id: room.id });
    const chats = [await authenticatedChat(url(), person), await chatInRoom(url(), person, room.id)];
    await revoke({ userUUID: person.user, issued_before: nowSeconds() });
    for (const socket of sockets) expect(await socket.closed).to.equal('io server disconnect');
    for (const chat of chats) expect(await chat.closed).to.equal(4403);
    for (const { raw } of sockets) expect(raw.active, 'tries to reconnect').to.equal(false);
  });

  it('ends only the connections of the token whose jti is revoked', async () => {
    const person = createUser({ jti: randomUUID() });
    const other = withClaims(person, { jti: randomUUID() });
    const [gone, stays] = [await socketClient(url(), person), await socketClient(url(), other)];
    const [goneChat, staysChat] = [await authenticatedChat(url(), person), await authenticatedChat(url(), other)];
    await revoke({ jti: person.claims.jti });
    expect(await gone.closed).to.equal('io server disconnect');
    expect(await goneChat.closed).to.equal(4403);
    expect(await stays.request('room:leave', { room_id: 1 })).to.include({ ok: true });
    staysChat.send({ type: 'fence' });
    expect(await staysChat.next()).to.include({ data: 'COMMAND?' });
  });

  it('rejects a connect with a revoked token with connect_error TOKEN_REVOKED', async () => {
    const person = createUser();
    await revoke({ userUUID: person.user, issued_before: nowSeconds() });
    expect((await expectConnectError(url(), person)).data).to.include({ code: 'TOKEN_REVOKED' });
    expectRefusal(await rest(url(), person.token).post('/rooms', { name: 'x' }), 'TOKEN_REVOKED');
  });

  it('rejects a refresh with a revoked token, and keeps the previous token', async () => {
    const person = createUser({ iat: nowSeconds(), level: 100 });
    const room = await createRoom(url(), person);
    const old = withClaims(person, { iat: nowSeconds() - 60 });
    await revoke({ userUUID: person.user, issued_before: nowSeconds() - 30 });
    const [socket, chat] = [await socketClient(url(), person), await authenticatedChat(url(), person)];
    const refusal = await socket.request('token:refresh', { token: old.token });
    expect(refusal).to.nested.include({ ok: false, 'error.code': 'TOKEN_REVOKED' });
    expect(await socket.request('room:join', { room_id: room.id })).to.include({ ok: true });
    chat.send({ type: 'token', content: old.token });
    expect(await chat.next()).to.include({ data: 'TOKEN?', reason: 'TOKEN_REVOKED' });
    chat.send({ type: 'select_room', room_id: room.id });
    expect(await chat.next()).to.include({ data: 'CONNECTED' });
  });

  it('keeps a connection if its previous token is revoked, and ends it if its current token is revoked', async () => {
    const person = createUser({ iat: nowSeconds() - 60, jti: randomUUID() });
    const fresh = withClaims(person, { iat: nowSeconds(), jti: randomUUID() });
    const [socket, chat] = [await socketClient(url(), person), await authenticatedChat(url(), person)];
    expect(await socket.request('token:refresh', { token: fresh.token })).to.include({ ok: true });
    chat.send({ type: 'token', content: fresh.token });
    expect(await chat.next()).to.include({ data: 'READY' });
    await revoke({ userUUID: person.user, issued_before: nowSeconds() - 30 });
    await revoke({ jti: person.claims.jti });
    expect(await socket.request('room:leave', { room_id: 1 })).to.include({ ok: true });
    chat.send({ type: 'fence' });
    expect(await chat.next()).to.include({ data: 'COMMAND?' });
    await revoke({ jti: fresh.claims.jti });
    expect(await socket.closed).to.equal('io server disconnect');
    expect(await chat.closed).to.equal(4403);
  });

  it('accepts a token again after its revocation is deleted, unless another revocation applies', async () => {
    const person = createUser({ iat: 1_000 });
    const [low, high] = [
      await revoke({ userUUID: person.user, issued_before: 500 }),
      await revoke({ userUUID: person.user, issued_before: 2_000 }),
    ];
    expect(await tryToken(url(), person.token)).to.deep.equal(revoked);
    await lift(high);
    expect(await tryToken(url(), person.token)).to.deep.equal(welcome);
    expect(await tryToken(url(), withClaims(person, { iat: 499 }).token)).to.deep.equal(revoked);
    await lift(low);
    expect(await tryToken(url(), withClaims(person, { iat: 499 }).token)).to.deep.equal(welcome);
  });

  it('rejects a request whose body arrives after its token was revoked', async () => {
    const person = createUser({ level: 100 });
    const body = JSON.stringify({ name: 'too late' });
    const headers = { Authorization: `Bearer ${person.token}`, 'Content-Type': 'application/json' };
    const node = url();
    const call = request(`${node}/rooms`, {
      method: 'POST',
      headers: { ...headers, 'Content-Length': body.length, Expect: '100-continue' },
    });
    const status = new Promise((resolve, reject) =>
      call.on('response', (answer) => resolve(answer.statusCode)).on('error', reject),
    );
    call.flushHeaders();
    await new Promise((resolve) => call.on('continue', resolve));
    // The node handles requests in order. When it has answered this one, the first request has passed authentication.
    expect((await rest(node, person.token).get('/rooms')).status).to.equal(200);
    await revoke({ userUUID: person.user, issued_before: nowSeconds() });
    call.end(body);
    expect(await status).to.equal(401);
  });
});

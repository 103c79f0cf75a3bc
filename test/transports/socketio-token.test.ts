import { expect } from 'chai';
import { describeOneWiring } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { createUser, sign, type TestUser, withClaims } from '../helpers/users.ts';

const now = () => Math.floor(Date.now() / 1_000);
/** Long enough for everything that happens before the expiry, even if this process stands still for two seconds. */
const soon = () => Date.now() / 1_000 + 2.5;

describeOneWiring('Socket.IO tokens', ({ url }) => {
  it('refreshes a token and acknowledges its expiry', async () => {
    const person = createUser();
    const socket = await socketClient(url(), person);
    const exp = now() + 3_600;
    const { token } = withClaims(person, { exp });
    expect(await socket.request('token:refresh', { token })).to.deep.equal({ ok: true, expires_at: exp });
    const endless = withClaims(person, { exp: undefined });
    expect(await socket.request('token:refresh', { token: endless.token })).to.deep.equal({
      ok: true,
      expires_at: null,
    });
  });

  it('accepts a token that expires in the year 2650, which overflows no timer', async () => {
    const socket = await socketClient(url(), createUser({ exp: 21_475_878_357 }));
    for (let n = 0; n < 20; n++) expect(await socket.request('room:leave', { room_id: 1 })).to.include({ ok: true });
    expect(socket.unread).to.deep.equal([]);
  });

  it('announces the expiry of a token and disconnects at the expiry, unless the client has refreshed it', async () => {
    const person = createUser();
    const short = withClaims(person, { exp: soon() });
    const [kept, dropped] = [await socketClient(url(), short), await socketClient(url(), short)];
    const { in_ms } = await kept.next('token:expiring');
    expect(in_ms).to.be.within(0, 2_500);
    expect(await kept.request('token:refresh', person)).to.include({ ok: true });
    expect(await dropped.closed).to.equal('transport close');
    expect(await kept.request('room:leave', { room_id: 1 })).to.deep.equal({ ok: true });
  });

  it('lets the client reconnect with a fresh token after the expiry', async () => {
    const person = createUser();
    const tokens = [withClaims(person, { exp: soon() }).token, person.token];
    const auth = (give: (auth: object) => void) => give({ token: tokens.shift() });
    const options = { auth, reconnection: true, reconnectionDelay: 1, reconnectionDelayMax: 10 };
    const socket = await socketClient(url(), person, options);
    const back = new Promise<void>((resolve) => socket.raw.once('connect', resolve));
    expect(await socket.closed).to.equal('transport close');
    await back;
    expect(await socket.request('room:leave', { room_id: 1 })).to.deep.equal({ ok: true });
  });

  const refused: Record<string, (person: TestUser) => string> = {
    'a forged token': ({ claims }) => sign(claims, { secret: 'another secret' }),
    "another user's token": ({ entity }) => createUser({ entity }).token,
    'a string that is not a JWT': () => 'x',
  };
  for (const [title, tokenOf] of Object.entries(refused)) {
    it(`keeps the current token if the refresh is ${title}`, async () => {
      const person = createUser({ level: 100 });
      const { room } = (await rest(url(), person.token).post('/rooms', { name: 'kept' })).body.content;
      const socket = await socketClient(url(), person);
      const refusal = await socket.request('token:refresh', { token: tokenOf(person) });
      expect(refusal).to.nested.include({ ok: false, 'error.code': 'UNAUTHENTICATED' });
      expect(await socket.request('room:join', { room_id: room.id })).to.include({ ok: true, rights: 'rwa' });
    });
  }

  it('rejects a refresh with an expired token', async () => {
    const person = createUser();
    const socket = await socketClient(url(), person);
    const refusal = await socket.request('token:refresh', withClaims(person, { exp: now() - 60 }));
    expect(refusal).to.nested.include({ ok: false, 'error.code': 'TOKEN_EXPIRED' });
  });

  it('closes the connection after the third invalid refresh', async () => {
    const socket = await socketClient(url(), createUser());
    for (let n = 0; n < 3; n++) socket.raw.emit('token:refresh', { token: 'bad' });
    expect(await socket.closed).to.equal('transport close');
  });

  it('authorizes the joined rooms again at once after a refresh with another level', async () => {
    const owner = createUser({ level: 100 });
    const { room } = (await rest(url(), owner.token).post('/rooms', { name: 'levels' })).body.content;
    const colleague = createUser({ entity: owner.entity, level: 100 });
    const socket = await socketClient(url(), colleague);
    expect(await socket.request('room:join', { room_id: room.id })).to.include({ rights: 'rwa' });
    expect(await socket.request('token:refresh', withClaims(colleague, { levelOnEntity: 99 }))).to.include({
      ok: true,
    });
    expect(await socket.next('room:removed')).to.deep.equal({ room_id: room.id, code: 'LEVEL_TOO_LOW' });
    const refusal = await socket.request('message:send', { room_id: room.id, content: 'x' });
    expect(refusal).to.nested.include({ ok: false, 'error.code': 'FORBIDDEN' });
  });
});

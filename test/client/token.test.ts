import { expect } from 'chai';
import type { Client } from '../../src/client/client.ts';
import { createClient, getRejection, toContents } from '../helpers/client.ts';
import { describeOneWiring, postgres, startNode } from '../helpers/node.ts';
import { nowSeconds, revoke } from '../helpers/revocations.ts';
import { createMember, createRoom, createRoomWithOwner, putRule, sendMessages } from '../helpers/rooms.ts';
import { createUser, sign, type TestUser, withClaims } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

/** Records the codes of the client's errors, and its states. */
function watch(client: Client) {
  const [errors, states]: [string[], string[]] = [[], []];
  client.on('error', ({ code }) => void errors.push(code));
  client.on('state', (state) => void states.push(state));
  return { errors, states };
}

const endingIn = (person: TestUser, seconds: number) => withClaims(person, { exp: nowSeconds() + seconds }).token;

describeOneWiring('the client with its tokens', ({ url }) => {
  it('refreshes its token on the same connection before it expires, and shows no token in its frames', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const tokens = [endingIn(owner, 6), owner.token];
    const secrets = [...tokens];
    const client = createClient(url(), owner, { token: () => tokens.shift()! });
    const { states } = watch(client);
    const frames: { name: string; payload: unknown }[] = [];
    client.on('frame', (frame) => void frames.push(frame));
    const clientRoom = client.room(room.id);
    await clientRoom.send('shown').confirmed;
    await waitUntil('the token is refreshed', () => frames.filter(({ name }) => name === 'token:refresh').length === 2);
    expect(frames.at(-1)!.payload).to.deep.equal({ ok: true, expires_at: owner.claims.exp });
    expect(tokens).to.deep.equal([]);
    expect(states).to.deep.equal(['connected']);
    expect(clientRoom.state).to.equal('joined');
    const names = ['room:join', 'message:send', 'message:new', 'token:expiring', 'token:refresh'];
    expect([...new Set(frames.map(({ name }) => name))]).to.have.members(names);
    for (const secret of secrets) expect(JSON.stringify(frames)).not.to.include(secret);
  });

  it('updates its rights when a refreshed token has another level', async () => {
    const owner = createUser({ level: 100 });
    const room = await createRoom(url(), owner, { level_admin: 60 });
    await putRule(url(), owner, room, { entityUUID: owner.entity, permissions: 'r', level: 0 });
    const colleague = createUser({ entity: owner.entity, level: 1 });
    const tokens = [endingIn(colleague, 6), withClaims(colleague, { levelOnEntity: 60 }).token];
    const clientRoom = createClient(url(), colleague, { token: () => tokens.shift()! }).room(room.id);
    await clientRoom.joined();
    expect(clientRoom.rights).to.equal('r');
    await waitUntil('the rights are updated', () => clientRoom.rights === 'rwa');
    expect(clientRoom.state).to.equal('joined');
  });

  it('reconnects with a new token after a token has expired without a successful refresh', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    let calls = 0;
    const client: Client = createClient(url(), owner, {
      // While it is connected, the calls are for refreshes, and return an expired token.
      token: () => {
        if (++calls === 1) return endingIn(owner, 3);
        return client.state === 'connected' ? sign({ exp: 1 }) : owner.token;
      },
    });
    const { errors, states } = watch(client);
    const clientRoom = client.room(room.id);
    await clientRoom.joined();
    await waitUntil('the client has reconnected', () => states.length === 3);
    expect(states).to.deep.equal(['connected', 'connecting', 'connected']);
    expect(calls).to.be.at.least(3);
    await clientRoom.joined();
    expect(errors).to.include('UNREACHABLE');
    expect(await clientRoom.send('still here').confirmed).to.include({ seq: 1 });
  });

  it('gives up after three expired tokens in a row, until connect() is called', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    let calls = 0;
    const client = createClient(url(), owner, {
      token: () => (++calls <= 4 ? withClaims(owner, { exp: 1_000 }).token : owner.token),
    });
    const { errors, states } = watch(client);
    const clientRoom = client.room(room.id);
    const waited = clientRoom.joined();
    waited.catch(() => {}); // asserted below
    await waitUntil('the client gives up', () => client.state === 'unauthorized');
    expect(errors).to.deep.equal(['TOKEN_EXPIRED', 'TOKEN_EXPIRED', 'TOKEN_EXPIRED']);
    const codes = [getRejection(waited), getRejection(clientRoom.joined())].map(async (error) => (await error).code);
    expect(await Promise.all(codes)).to.deep.equal(['TOKEN_EXPIRED', 'TOKEN_EXPIRED']);
    const pending = clientRoom.send('waits');
    client.connect();
    await Promise.all([pending.confirmed, clientRoom.joined()]);
    expect(states).to.deep.equal(['unauthorized', 'connecting', 'connected']);
    expect(calls).to.equal(5);
  });

  it('connects with the same token as soon as it becomes valid', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    let calls = 0;
    const client = createClient(url(), owner, {
      token: () => {
        calls += 1;
        // Accepted 10 s before its `nbf`, so in two to three seconds.
        return calls <= 4
          ? withClaims(owner, { nbf: nowSeconds() + 11 + (calls === 1 ? 2 : 0), n: calls }).token
          : owner.token;
      },
    });
    const { errors, states } = watch(client);
    await client.room(room.id).joined();
    expect(calls, 'calls of the token function').to.equal(1);
    expect(errors.length).to.be.within(1, 2);
    expect(new Set(errors)).to.deep.equal(new Set(['UNAUTHENTICATED']));
    expect(states).to.deep.equal(['connected']);
  });

  it('never gives up because of tokens that are not valid yet', async () => {
    const { owner } = await createRoomWithOwner(url());
    const client = createClient(url(), owner, { token: () => withClaims(owner, { nbf: nowSeconds() + 50_000 }).token });
    const { errors } = watch(client);
    for (let n = 1; n <= 4; n++) {
      await waitUntil('the token is rejected', () => errors.length >= n);
      client.connect();
    }
    expect(client.state).to.equal('connecting');
  });

  it('retries the token function if it fails or takes too long, and reports each failure', async () => {
    const { owner } = await createRoomWithOwner(url());
    let calls = 0;
    const client = createClient(url(), owner, {
      timeouts: { tokenMs: 100 },
      async token() {
        calls += 1;
        if (calls === 1) throw new Error('the backend is down');
        if (calls === 2) return new Promise<string>(() => {});
        if (calls === 3) return '';
        return new Promise<string>((resolve) => setTimeout(resolve, 50, owner.token));
      },
    });
    const { errors, states } = watch(client);
    await waitUntil('the client is connected', () => client.state === 'connected');
    expect(errors).to.deep.equal(['NO_TOKEN', 'NO_TOKEN', 'NO_TOKEN']);
    expect(states).to.deep.equal(['connected']);
  });

  it('reconnects with a new token if the token of a live connection is revoked', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = await createMember(url(), owner, room);
    const tokens = [
      withClaims(guest, { iat: nowSeconds() - 60 }).token,
      withClaims(guest, { iat: nowSeconds() + 60 }).token,
    ];
    const client = createClient(url(), guest, { token: () => tokens.shift()! });
    const { errors, states } = watch(client);
    const clientRoom = client.room(room.id);
    await clientRoom.joined();
    await revoke(url(), { userUUID: guest.user, issued_before: nowSeconds() });
    await waitUntil('the client is connected again', () => states.length === 3);
    await clientRoom.joined();
    expect(states).to.deep.equal(['connected', 'connecting', 'connected']);
    expect(errors).to.deep.equal(['TOKEN_REVOKED']);
  });

  it('becomes unauthorized if the token function returns a revoked token again', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = await createMember(url(), owner, room);
    const client = createClient(url(), withClaims(guest, { iat: nowSeconds() - 60 }));
    const { errors, states } = watch(client);
    const clientRoom = client.room(room.id);
    await clientRoom.joined();
    await revoke(url(), { userUUID: guest.user, issued_before: nowSeconds() });
    await waitUntil('the client gives up', () => client.state === 'unauthorized');
    expect(errors).to.deep.equal(['TOKEN_REVOKED', 'TOKEN_REVOKED']);
    expect(states).to.deep.equal(['connected', 'connecting', 'unauthorized']);
    expect(clientRoom.state).to.equal('reconnecting');
  });
});

describe("the client at the service's limits", () => {
  it('connects when another connection of the user closes, and sends at the rate that the service allows', async function () {
    this.timeout(60_000);
    const { url } = await startNode(postgres, { MAX_CONNECTIONS_PER_USER: 1, SEND_RATE: 1, SEND_BURST: 2 });
    const { owner, room } = await createRoomWithOwner(url);
    const first = createClient(url, owner);
    await first.room(room.id).joined();
    const second = createClient(url, owner);
    const { errors } = watch(second);
    await waitUntil('it has been refused twice', () => errors.length >= 2);
    expect(new Set(errors)).to.deep.equal(new Set(['TOO_MANY_CONNECTIONS']));
    expect(second.state).to.equal('connecting');
    first.close();
    const clientRoom = second.room(room.id);
    await clientRoom.joined();
    const refusals: number[] = [];
    second.on('frame', ({ direction, name, payload }) => {
      const { error } = payload as { error?: { retry_after_ms: number } };
      if (direction === 'in' && name === 'message:send' && error) refusals.push(error.retry_after_ms);
    });
    const contents = Array.from({ length: 3 }, (_, n) => `${n}`);
    const began = performance.now();
    await Promise.all(contents.map((content) => clientRoom.send(content).confirmed));
    await waitUntil('all messages are shown', () => clientRoom.messages.length === contents.length);
    expect(clientRoom.messages.map(({ content }) => content)).to.deep.equal(contents);
    expect(refusals).not.to.be.empty;
    expect(performance.now() - began).to.be.at.least(refusals[0]!);
  });

  it('joins and leaves rooms and loads their pages one after the other if the service limits its requests', async () => {
    const { url } = await startNode(postgres, { REQUEST_RATE: 15, REQUEST_BURST: 50, MAX_ROOMS_PER_CONNECTION: 20 });
    const [owner, ...others] = Array.from({ length: 12 }, () => createUser({ level: 100 }));
    const rooms = [];
    for (const other of others) {
      const room = await createRoom(url, other);
      await putRule(url, other, room, { userUUID: owner!.user, permissions: 'rw' });
      await sendMessages(url, other, room, 'one', 'two', 'three');
      rooms.push(room);
    }
    const client = createClient(url, owner!);
    const counts: Record<string, number> = {};
    client.on('frame', ({ direction, name, payload }) => {
      if (direction !== 'in') return;
      const { ok, error } = payload as { ok?: boolean; error?: { code: string } };
      const outcome = `${name} ${ok ?? 'event'} ${error?.code ?? ''}`.trim();
      counts[outcome] = (counts[outcome] ?? 0) + 1;
    });
    const clientRooms = rooms.map(({ id }) => client.room(id));
    await Promise.all(clientRooms.map((room) => room.joined()));
    expect(clientRooms.map((room) => toContents(room))).to.deep.equal(rooms.map(() => ['one', 'two', 'three']));
    const refused = counts['room:join false RATE_LIMITED'] ?? 0;
    expect(refused + (counts['message:history false RATE_LIMITED'] ?? 0)).to.be.above(0);
    // Retried one by one, a request is refused now and then. Retried together, all would be refused each time.
    expect(refused).to.be.below(3 * rooms.length);
    for (const room of clientRooms) room.leave();
    await waitUntil('all rooms are left', () => counts['room:leave true'] === rooms.length);
  });

  it('waits with loadOlder() until the request limit allows the page', async () => {
    const { url } = await startNode(postgres, { REQUEST_RATE: 100, REQUEST_BURST: 50 });
    const { owner, room } = await createRoomWithOwner(url);
    const guest = await createMember(url, owner, room, 'rw');
    const contents = Array.from({ length: 130 }, (_, n) => `${n}`);
    await sendMessages(url, owner, room, ...contents);
    const clientRoom = createClient(url, guest).room(room.id);
    await clientRoom.joined();
    while (clientRoom.hasOlder) await clientRoom.loadOlder(1);
    expect(toContents(clientRoom)).to.deep.equal(contents);
  });
});

import { expect } from 'chai';
import type { Client } from '../../src/client/client.ts';
import { clientOf, contentsOf, failureOf } from '../helpers/client.ts';
import { describeOneWiring, postgres, startNode } from '../helpers/node.ts';
import { again, type Person, sign, somebody } from '../helpers/people.ts';
import { now, revoke } from '../helpers/revocations.ts';
import { member, newRoom, ownRoom, putRule, say } from '../helpers/rooms.ts';
import { until } from '../helpers/until.ts';

/** The codes that the client has said are wrong, and the states it came to. */
function watch(client: Client) {
  const [errors, states]: [string[], string[]] = [[], []];
  client.on('error', ({ code }) => void errors.push(code));
  client.on('state', (state) => void states.push(state));
  return { errors, states };
}

const endingIn = (person: Person, seconds: number) => again(person, { exp: now() + seconds }).token;

describeOneWiring("the client's token", ({ url }) => {
  it('is followed by a fresh one before it ends, on the same connection; neither is in a frame that is shown', async () => {
    const { owner, room } = await ownRoom(url());
    const tokens = [endingIn(owner, 4), owner.token];
    const secrets = [...tokens];
    const client = clientOf(url(), owner, { token: () => tokens.shift()! });
    const { states } = watch(client);
    const frames: { name: string; payload: unknown }[] = [];
    client.on('frame', (frame) => void frames.push(frame));
    const inside = client.room(room.id);
    await inside.send('shown').confirmed;
    await until('it is refreshed', () => frames.filter(({ name }) => name === 'token:refresh').length === 2);
    expect(frames.at(-1)!.payload).to.deep.equal({ ok: true, expires_at: owner.claims.exp });
    expect(tokens).to.deep.equal([]);
    expect(states).to.deep.equal(['connected']);
    expect(inside.state).to.equal('joined');
    const names = ['room:join', 'message:send', 'message:new', 'token:expiring', 'token:refresh'];
    expect([...new Set(frames.map(({ name }) => name))]).to.have.members(names);
    for (const secret of secrets) expect(JSON.stringify(frames)).not.to.include(secret);
  });

  it('is followed by one with a new level, and the rights that come with it', async () => {
    const owner = somebody({ level: 100 });
    const room = await newRoom(url(), owner, { level_admin: 60 });
    await putRule(url(), owner, room, { entityUUID: owner.entity, permissions: 'r', level: 0 });
    const colleague = somebody({ entity: owner.entity, level: 1 });
    const tokens = [endingIn(colleague, 4), again(colleague, { levelOnEntity: 60 }).token];
    const inside = clientOf(url(), colleague, { token: () => tokens.shift()! }).room(room.id);
    await inside.joined();
    expect(inside.rights).to.equal('r');
    await until('its rights are known', () => inside.rights === 'rwa');
    expect(inside.state).to.equal('joined');
  });

  it('that has ended without a fresh one is followed by one for the next connection', async () => {
    const { owner, room } = await ownRoom(url());
    let asked = 0;
    const client = clientOf(url(), owner, {
      // The second is asked for the refresh, and is not a good one.
      token: () => [endingIn(owner, 2), sign({ exp: 1 }), owner.token][Math.min(asked++, 2)]!,
    });
    const { errors } = watch(client);
    const inside = client.room(room.id);
    await inside.joined();
    await until('it has come back', () => asked >= 3 && client.state === 'connected');
    await inside.joined();
    expect(errors).to.include('UNREACHABLE');
    expect(await inside.send('still here').confirmed).to.include({ seq: 1 });
  });

  it('that is ended is asked for again a few times, and then the client gives up, until it is told to', async () => {
    const { owner, room } = await ownRoom(url());
    let asked = 0;
    const client = clientOf(url(), owner, {
      token: () => (++asked <= 4 ? again(owner, { exp: 1_000 }).token : owner.token),
    });
    const { errors, states } = watch(client);
    const inside = client.room(room.id);
    const waited = inside.joined();
    waited.catch(() => {}); // looked at below
    await until('it gives up', () => client.state === 'unauthorized');
    expect(errors).to.deep.equal(['TOKEN_EXPIRED', 'TOKEN_EXPIRED', 'TOKEN_EXPIRED']);
    const codes = [failureOf(waited), failureOf(inside.joined())].map(async (error) => (await error).code);
    expect(await Promise.all(codes)).to.deep.equal(['TOKEN_EXPIRED', 'TOKEN_EXPIRED']);
    const pending = inside.send('waits');
    client.connect();
    await Promise.all([pending.confirmed, inside.joined()]);
    expect(states).to.deep.equal(['unauthorized', 'connecting', 'connected']);
    expect(asked).to.equal(5);
  });

  it('that is not valid yet is no bad one: it is used when it is, however long that takes', async () => {
    const { owner, room } = await ownRoom(url());
    let asked = 0;
    const client = clientOf(url(), owner, {
      token: () => {
        asked += 1;
        // Accepted 10 s before its `nbf`, so in about a second.
        return asked <= 4 ? again(owner, { nbf: now() + 11 + (asked === 1 ? 1 : 0), n: asked }).token : owner.token;
      },
    });
    const { errors, states } = watch(client);
    await client.room(room.id).joined();
    expect(asked, 'the same token').to.equal(1);
    expect(errors.length).to.be.within(1, 2);
    expect(new Set(errors)).to.deep.equal(new Set(['UNAUTHENTICATED']));
    expect(states).to.deep.equal(['connected']);
  });

  it('that will not be valid for long never makes it give up', async () => {
    const { owner } = await ownRoom(url());
    const client = clientOf(url(), owner, { token: () => again(owner, { nbf: now() + 50_000 }).token });
    const { errors } = watch(client);
    for (let n = 1; n <= 4; n++) {
      await until('it is refused', () => errors.length === n);
      client.connect();
    }
    expect(client.state).to.equal('connecting');
  });

  it('is waited for where the function fails or takes its time, and its failures are said', async () => {
    const { owner } = await ownRoom(url());
    let asked = 0;
    const client = clientOf(url(), owner, {
      timeouts: { tokenMs: 100 },
      async token() {
        asked += 1;
        if (asked === 1) throw new Error('the backend is away');
        if (asked === 2) return new Promise<string>(() => {});
        if (asked === 3) return '';
        return new Promise<string>((resolve) => setTimeout(resolve, 50, owner.token));
      },
    });
    const { errors, states } = watch(client);
    await until('it is connected', () => client.state === 'connected');
    expect(errors).to.deep.equal(['NO_TOKEN', 'NO_TOKEN', 'NO_TOKEN']);
    expect(states).to.deep.equal(['connected']);
  });

  it('that is revoked under a live connection is followed by a fresh one, where the backend gives one', async () => {
    const { owner, room } = await ownRoom(url());
    const guest = await member(url(), owner, room);
    const tokens = [again(guest, { iat: now() - 60 }).token, again(guest, { iat: now() + 60 }).token];
    const client = clientOf(url(), guest, { token: () => tokens.shift()! });
    const { errors, states } = watch(client);
    const inside = client.room(room.id);
    await inside.joined();
    await revoke(url(), { userUUID: guest.user, issued_before: now() });
    await until('it is back', () => states.length === 3);
    await inside.joined();
    expect(states).to.deep.equal(['connected', 'connecting', 'connected']);
    expect(errors).to.deep.equal(['TOKEN_REVOKED']);
  });

  it('that is revoked, and the same again, ends in `refused`', async () => {
    const { owner, room } = await ownRoom(url());
    const guest = await member(url(), owner, room);
    const client = clientOf(url(), again(guest, { iat: now() - 60 }));
    const { errors, states } = watch(client);
    const inside = client.room(room.id);
    await inside.joined();
    await revoke(url(), { userUUID: guest.user, issued_before: now() });
    await until('it gives up', () => client.state === 'unauthorized');
    expect(errors).to.deep.equal(['TOKEN_REVOKED', 'TOKEN_REVOKED']);
    expect(states).to.deep.equal(['connected', 'connecting', 'unauthorized']);
    expect(inside.state).to.equal('reconnecting');
  });
});

describe("the client at the service's limits", () => {
  it('comes back when another connection of the user is gone', async function () {
    this.timeout(60_000);
    const { url } = await startNode(postgres, { MAX_CONNECTIONS_PER_USER: 1, SEND_RATE: 4, SEND_BURST: 5 });
    const { owner, room } = await ownRoom(url);
    const first = clientOf(url, owner);
    await first.room(room.id).joined();
    const second = clientOf(url, owner);
    const { errors } = watch(second);
    await until('it has been refused twice', () => errors.length >= 2);
    expect(new Set(errors)).to.deep.equal(new Set(['TOO_MANY_CONNECTIONS']));
    expect(second.state).to.equal('connecting');
    first.close();
    const inside = second.room(room.id);
    await inside.joined();
    const refusals: number[] = [];
    second.on('frame', ({ direction, name, payload }) => {
      const { error } = payload as { error?: { retry_after_ms: number } };
      if (direction === 'in' && name === 'message:send' && error) refusals.push(error.retry_after_ms);
    });
    const contents = Array.from({ length: 7 }, (_, n) => `${n}`);
    const began = performance.now();
    await Promise.all(contents.map((content) => inside.send(content).confirmed));
    await until('all are shown', () => inside.messages.length === contents.length);
    expect(inside.messages.map(({ content }) => content)).to.deep.equal(contents);
    expect(refusals).not.to.be.empty;
    expect(performance.now() - began).to.be.at.least(refusals[0]!);
  });

  it('joins rooms, loads their pages and leaves them as fast as it may, one after the other', async () => {
    const { url } = await startNode(postgres, { REQUEST_RATE: 100, REQUEST_BURST: 50, MAX_ROOMS_PER_CONNECTION: 20 });
    const [owner, ...others] = Array.from({ length: 12 }, () => somebody({ level: 100 }));
    const rooms = [];
    for (const other of others) {
      const room = await newRoom(url, other);
      await putRule(url, other, room, { userUUID: owner!.user, permissions: 'rw' });
      await say(url, other, room, 'one', 'two', 'three');
      rooms.push(room);
    }
    const client = clientOf(url, owner!);
    const counts: Record<string, number> = {};
    client.on('frame', ({ direction, name, payload }) => {
      if (direction !== 'in') return;
      const { ok, error } = payload as { ok?: boolean; error?: { code: string } };
      const outcome = `${name} ${ok ?? 'announced'} ${error?.code ?? ''}`.trim();
      counts[outcome] = (counts[outcome] ?? 0) + 1;
    });
    const inside = rooms.map(({ id }) => client.room(id));
    await Promise.all(inside.map((room) => room.joined()));
    expect(inside.map((room) => contentsOf(room))).to.deep.equal(rooms.map(() => ['one', 'two', 'three']));
    const refused = counts['room:join false RATE_LIMITED'] ?? 0;
    expect(refused + (counts['message:history false RATE_LIMITED'] ?? 0)).to.be.above(0);
    // Made again one after the other, each is refused now and then, and not all of them each time.
    expect(refused).to.be.below(3 * rooms.length);
    for (const room of inside) room.leave();
    await until('all are left', () => counts['room:leave true'] === rooms.length);
  });

  it('waits with an older page until it may be read', async () => {
    const { url } = await startNode(postgres, { REQUEST_RATE: 100, REQUEST_BURST: 50 });
    const { owner, room } = await ownRoom(url);
    const guest = await member(url, owner, room, 'rw');
    const contents = Array.from({ length: 130 }, (_, n) => `${n}`);
    await say(url, owner, room, ...contents);
    const inside = clientOf(url, guest).room(room.id);
    await inside.joined();
    while (inside.hasOlder) await inside.loadOlder(1);
    expect(contentsOf(inside)).to.deep.equal(contents);
  });
});

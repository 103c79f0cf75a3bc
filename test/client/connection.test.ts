import { type AddressInfo, createServer, connect as dial } from 'node:net';
import { expect } from 'chai';
import type { RoomState } from '../../src/client/client.ts';
import { closeLater } from '../helpers/cleanup.ts';
import { clientOf, contentsOf, expectWhole, failureOf, heardIn, lineTo } from '../helpers/client.ts';
import { describeOneWiring, postgres, startNode } from '../helpers/node.ts';
import { ownRoom, say } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { until } from '../helpers/until.ts';

const upTo = (last: number, name = '') => Array.from({ length: last }, (_, n) => `${name}${n + 1}`);

describeOneWiring('the client on a line that fails', ({ url }) => {
  /** Live in a room, over a line of its own. */
  async function overALine(transports: ('websocket' | 'polling')[] = ['websocket'], timeouts = {}) {
    const { owner, room } = await ownRoom(url());
    const line = await lineTo(url());
    const client = clientOf(line.url, owner, { transports, timeouts });
    const inside = client.room(room.id);
    await inside.joined();
    const states: RoomState[] = [];
    inside.on('state', (state) => void states.push(state));
    return { owner, room, line, client, inside, states };
  }

  const stored = async (owner: { token: string }, room: { id: number }) => {
    const socket = await socketClient(url(), owner);
    const { messages } = await socket.request('message:history', { room_id: room.id, limit: 500 });
    return messages.map(({ content }: { content: string }) => content);
  };

  for (const transport of ['websocket', 'polling'] as const) {
    it(`sends and hears each message once over ${transport} that is cut again and again`, async () => {
      const { owner, room, line, inside, states } = await overALine([transport]);
      const heard = heardIn(inside);
      const mine = upTo(30, 'mine ');
      const sent = mine.map((content) => inside.send(content));
      for (let cut = 1; cut <= 4; cut++) {
        await until('some are sent', () => sent.filter(({ state }) => state === 'sent').length >= cut * 4);
        line.cut();
        await until('the line is gone', () => inside.state === 'reconnecting');
        await say(url(), owner, room, `theirs ${cut}`);
        line.restore();
        await inside.joined();
      }
      await Promise.all(sent.map(({ confirmed }) => confirmed));
      await until('all are heard', () => inside.messages.length === 34);
      expectWhole(inside);
      expect(heard)
        .to.deep.equal(contentsOf(inside))
        .and.to.deep.equal(await stored(owner, room));
      expect(heard.filter((content) => content.startsWith('mine'))).to.deep.equal(mine);
      expect(states.slice(0, 3)).to.deep.equal(['reconnecting', 'joining', 'joined']);
    });
  }

  for (const transport of ['websocket', 'polling'] as const) {
    it(`does not send again over ${transport} what is larger than a frame, and sends what is behind it`, async () => {
      const { owner, room, inside } = await overALine([transport]);
      const large = inside.send('x'.repeat(80_000));
      const next = inside.send('next');
      expect(await failureOf(large.confirmed)).to.include({ code: 'TOO_LARGE' });
      await next.confirmed;
      expect(await stored(owner, room)).to.deep.equal(['next']);
      expect(inside.outbox.map(({ state }) => state)).to.deep.equal(['failed']);
    });
  }

  it('is refused, and ends nothing, where there is no such transport', async () => {
    const { owner } = await ownRoom(url());
    const client = clientOf(url(), owner, { transports: ['pigeon' as 'polling'] });
    await until('it is refused', () => client.state === 'unauthorized');
  });

  it('makes one connection, also for who asks for it when the one before goes', async () => {
    const node = await startNode(postgres);
    const { owner, room } = await ownRoom(node.url);
    const line = await lineTo(node.url);
    const client = clientOf(line.url, owner, { transports: ['websocket'] });
    const inside = client.room(room.id);
    await inside.joined();
    inside.on('state', (state) => {
      if (state === 'reconnecting') client.connect();
    });
    for (let round = 0; round < 3; round++) {
      const gone = new Promise<void>((resolve) => {
        const stop = inside.on('state', (state) => {
          if (state !== 'reconnecting') return;
          stop();
          resolve();
        });
      });
      line.cut();
      await gone;
      line.restore();
      await inside.joined();
    }
    await inside.send('one').confirmed;
    client.close();
    await until('no connection is left', async () =>
      /^nano_messaging_connections\{transport="socketio"\} 0$/m.test(await (await fetch(`${node.url}/metrics`)).text()),
    );
  });

  it('does not store twice what was stored without an answer', async () => {
    const { owner, room, line, inside } = await overALine();
    line.loseNextAnswer();
    const one = inside.send('once');
    await until('the line is gone', () => inside.state === 'reconnecting');
    expect(await stored(owner, room)).to.deep.equal(['once']);
    expect(one.state).to.equal('pending');
    expect(await one.confirmed).to.include({ seq: 1, content: 'once' });
    await inside.send('and then').confirmed;
    expect(await stored(owner, room)).to.deep.equal(['once', 'and then']);
    expect(contentsOf(inside)).to.deep.equal(['once', 'and then']);
  });

  it('asks again on the same line what is not answered in time', async () => {
    const { owner, room, line, client, inside } = await overALine(['websocket'], { answerMs: 150 });
    const asked: string[] = [];
    client.on('frame', ({ direction, name }) => direction === 'out' && void asked.push(name));
    line.hold();
    const one = inside.send('patience');
    await until('it is asked again', () => asked.length >= 3);
    line.restore();
    await one.confirmed;
    expect(new Set(asked)).to.deep.equal(new Set(['message:send']));
    expect(await stored(owner, room)).to.deep.equal(['patience']);
  });

  it('says what is wrong while there is no connection, and joins what was asked for meanwhile', async () => {
    const { owner, room, line, client, inside } = await overALine();
    await Promise.all(upTo(101).map((content) => say(url(), owner, room, content)));
    const fresh = clientOf(line.url, owner).room(room.id);
    await fresh.joined();
    const errors: string[] = [];
    client.on('error', ({ code }) => void errors.push(code));
    line.cut();
    await until('it has tried again', () => errors.length >= 3 && fresh.state === 'reconnecting');
    expect(new Set(errors)).to.deep.equal(new Set(['UNREACHABLE']));
    expect(client.state).to.equal('connecting');
    expect((await failureOf(fresh.loadOlder())).code).to.equal('UNREACHABLE');
    const elsewhere = client.room(room.uuid);
    expect(elsewhere.state).to.equal('joining');
    line.restore();
    await Promise.all([elsewhere.joined(), fresh.joined(), inside.joined()]);
    expect(await fresh.loadOlder()).to.have.length(1);
    expect(contentsOf(inside)).to.deep.equal(contentsOf(fresh));
  });

  it('begins anew where more was missed than is repeated', async () => {
    const { owner, room, line, inside } = await overALine();
    await say(url(), owner, room, 'before');
    await until('it is heard', () => inside.rev === 1);
    line.cut();
    await until('the line is gone', () => inside.state === 'reconnecting');
    const pending = inside.send('written on the way');
    const heard = heardIn(inside);
    const shownAtReset: string[][] = [];
    inside.on('reset', () => void shownAtReset.push(contentsOf(inside)));
    const socket = await socketClient(url(), owner);
    await Promise.all(upTo(501).map((content) => socket.request('message:send', { room_id: room.id, content })));
    expect(contentsOf(inside)).to.deep.equal(['before']);
    line.restore();
    await inside.joined();
    await pending.confirmed;
    await until('its own is shown', () => inside.messages.at(-1)?.content === 'written on the way');
    expect(shownAtReset).to.have.length(1);
    expect(shownAtReset[0]).to.deep.equal(upTo(501).slice(-100));
    expect(heard).to.deep.equal(['written on the way']);
    expect(inside.hasOlder).to.equal(true);
    while (inside.hasOlder) await inside.loadOlder(500);
    expect(contentsOf(inside)).to.deep.equal(['before', ...upTo(501), 'written on the way']);
    expectWhole(inside);
  });

  it('comes back at once when the browser says that it is online', async () => {
    const listeners = new Set<() => void>();
    const browser = {
      addEventListener: (_name: 'online', listener: () => void) => void listeners.add(listener),
      removeEventListener: (_name: 'online', listener: () => void) => void listeners.delete(listener),
    };
    Object.assign(globalThis, browser);
    try {
      const { line, client, inside } = await overALine(['websocket'], { backoffMs: 600_000, maxBackoffMs: 600_000 });
      line.cut();
      await until('the line is gone', () => inside.state === 'reconnecting');
      line.restore();
      for (const online of listeners) online();
      await inside.joined();
      client.close();
      expect([...listeners]).to.deep.equal([]);
    } finally {
      for (const name of Object.keys(browser)) Reflect.deleteProperty(globalThis, name);
    }
  });
});

describe('the client on a line that is dead and that nobody has closed', function () {
  this.timeout(60_000);

  /** The service's `pingTimeout` is 20 s, which is long for a test: on this way to it, it is told as 1 s. */
  async function impatient(url: string): Promise<string> {
    const hop = createServer((client) => {
      const upstream = dial(Number(new URL(url).port), '127.0.0.1');
      client.pipe(upstream);
      upstream.on('data', (said: Buffer) => {
        client.write(said.toString('latin1').replace('"pingTimeout":20000', '"pingTimeout":1000 '), 'latin1');
      });
      for (const [one, other] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        one.on('error', () => other.destroy()).on('close', () => other.destroy());
      }
    });
    await new Promise<void>((resolve) => hop.listen(0, '127.0.0.1', resolve));
    closeLater(() => hop.close());
    return `http://127.0.0.1:${(hop.address() as AddressInfo).port}`;
  }

  it('notices by the heartbeat, and sends what it had to send on another one', async () => {
    const { url } = await startNode(postgres, {}, (config) => ({ ...config, pingIntervalMs: 300 }));
    const { owner, room } = await ownRoom(url);
    const line = await lineTo(await impatient(url));
    const client = clientOf(line.url, owner, { transports: ['websocket'], timeouts: { answerMs: 60_000 } });
    const inside = client.room(room.id);
    await inside.joined();
    const errors: string[] = [];
    client.on('error', ({ message }) => void errors.push(message));
    line.swallow();
    const one = inside.send('into the void');
    await until('it is sent', () => one.state === 'sent', 15_000);
    expect(errors).to.include('ping timeout');
    expect(await one.confirmed).to.include({ seq: 1 });
  });
});

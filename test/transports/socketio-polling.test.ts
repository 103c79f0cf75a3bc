import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { describeOneWiring } from '../helpers/node.ts';
import { PollingSession, splitPackets } from '../helpers/polling-session.ts';
import { python, withPythonClient } from '../helpers/python.ts';
import { rest } from '../helpers/rest-client.ts';
import { createUser } from '../helpers/users.ts';

const separator = '\x1e';

describeOneWiring('long polling', ({ url, startNode }) => {
  async function ownRoom(at = url()) {
    const owner = createUser({ level: 100 });
    const { room } = (await rest(at, owner.token).post('/rooms', { name: 'polled' })).body.content;
    return { at, owner, room_id: room.id as number, api: rest(at, owner.token) };
  }
  const message = (room_id: number, content: string, ack: number | '' = '') =>
    `42/rooms,${ack}["message:send",${JSON.stringify({ room_id, content })}]`;
  const join = (room_id: number) => `42/rooms,0["room:join",${JSON.stringify({ room_id })}]`;

  /** Returns all packets up to the first that matches. */
  async function pollUntil(session: PollingSession, fits: (packet: string) => boolean): Promise<string[][]> {
    const answers: string[][] = [];
    do {
      const answer = await session.poll();
      expect(answer.status).to.equal(200);
      answers.push(splitPackets(answer));
    } while (!answers.at(-1)!.some(fits));
    return answers;
  }

  it('accepts a body of an older client that ignores the announced maximum', async () => {
    const { owner, room_id } = await ownRoom();
    const session = await PollingSession.connected(url(), owner.token);
    const packets = Array.from({ length: 20 }, (_, n) => message(room_id, `${n}`.padEnd(4_096), n));
    expect((await session.post(packets.join(separator))).status).to.equal(200);
    const answers = await pollUntil(session, (packet) => packet.startsWith('43/rooms,19['));
    expect(answers.flat().filter((packet) => packet.includes('"ok":true'))).to.have.lengthOf(20);
  });

  it('answers a poll with at most 16 packets, and loses none', async () => {
    const { owner, room_id, api } = await ownRoom();
    const session = await PollingSession.connected(url(), owner.token);
    await session.post(join(room_id));
    await pollUntil(session, (packet) => packet.startsWith('43/rooms,0'));
    for (let n = 1; n <= 40; n++) await api.post(`/rooms/${room_id}/messages`, { content: `message ${n}` });
    const answers = await pollUntil(session, (packet) => packet.includes('"message 40"'));
    for (const packets of answers) expect(packets).to.have.lengthOf.at.most(16);
    const seqs = answers.flat().filter((packet) => packet.includes('message:new'));
    expect(seqs.map((packet) => JSON.parse(packet.slice('42/rooms,'.length))[1].seq)).to.deep.equal(
      Array.from({ length: 40 }, (_, n) => n + 1),
    );
  });

  it('delivers queued packets, 16 at a time, also when the node ends the session', async () => {
    const node = await startNode({ DRAIN_TIMEOUT_SECONDS: 6 });
    const { owner, room_id, api } = await ownRoom(node.url);
    const session = await PollingSession.connected(node.url, owner.token);
    await session.post(join(room_id));
    await pollUntil(session, (packet) => packet.startsWith('43/rooms,0'));
    for (let n = 1; n <= 40; n++) await api.post(`/rooms/${room_id}/messages`, { content: `message ${n}` });
    const drained = node.drain();
    const answers = await pollUntil(session, (packet) => packet === '1');
    for (const packets of answers) expect(packets).to.have.lengthOf.at.most(16);
    expect(answers.flat().filter((packet) => packet.includes('message:new'))).to.have.lengthOf(40);
    expect(await drained).to.equal(true);
  });

  const bodies: [title: string, body: (room_id: number) => string | Buffer | number, status: number][] = [
    ['a packet larger than a frame', (room_id) => message(room_id, 'x'.repeat(65_536)), 413],
    ['more than sixteen frames together', () => 16 * 65_536 + 1, 413],
    ['more than 2,000 packets', () => Array(2_001).fill('3').join(separator), 413],
    ['bytes that are not UTF-8', (room_id) => Buffer.from(message(room_id, 'ÿ'), 'latin1'), 400],
  ];
  for (const [title, body, status] of bodies) {
    it(`rejects ${title} and stores nothing`, async () => {
      const { owner, room_id, api } = await ownRoom();
      const session = await PollingSession.connected(url(), owner.token);
      const sent = body(room_id);
      const answer = typeof sent === 'number' ? await session.postWithoutBody(sent) : await session.post(sent);
      expect(answer.status).to.equal(status);
      expect(JSON.parse(answer.body)).to.have.all.keys('code', 'message');
      expect((await api.get(`/rooms/${room_id}/messages`)).body.content).to.deep.equal([]);
    });
  }

  for (const method of ['PUT', 'PATCH', 'DELETE', 'HEAD']) {
    it(`rejects ${method} with 400 and keeps the session open`, async () => {
      const { owner, room_id } = await ownRoom();
      const session = await PollingSession.connected(url(), owner.token);
      const answer = await fetch(session.address, { method });
      expect(answer.status).to.equal(400);
      if (method !== 'HEAD') expect(await answer.text()).to.contain('GET and POST');
      expect((await session.post(join(room_id))).status).to.equal(200);
      await pollUntil(session, (packet) => packet.startsWith('43/rooms,0['));
    });
  }

  for (const MAX_FRAME_BYTES of [65_536, 0]) {
    it(`accepts only small bodies before a token, with MAX_FRAME_BYTES=${MAX_FRAME_BYTES}`, async () => {
      const { url: at } = await startNode({ MAX_FRAME_BYTES });
      expect((await (await PollingSession.open(at)).postWithoutBody(16_385)).status).to.equal(413);
      const padded = `40/rooms,${JSON.stringify({ pad: 'x'.repeat(9_000) })}`;
      expect((await (await PollingSession.open(at)).post(padded)).status).to.equal(413);
      const many = Array(17).fill('3').join(separator);
      expect((await (await PollingSession.open(at)).post(many)).status).to.equal(413);
    });
  }

  it('rejects a token that is too large for the first packet with the reason', async () => {
    const session = await PollingSession.open(url());
    await session.post(`40/rooms,${JSON.stringify({ token: 'x'.repeat(4_097) })}`);
    expect((await session.poll()).body).to.include('TOO_LARGE');
  });

  describe('long polling of python3-socketio', () => {
    withPythonClient();

    it('delivers all messages of a busy room to python3-socketio', async () => {
      const { owner, room_id, api } = await ownRoom();
      const script = fileURLToPath(new URL('../helpers/python_busy_room.py', import.meta.url));
      const running = promisify(execFile)(python, [script, url(), owner.token, String(room_id), '300']);
      running.child.stdout!.once('data', async () => {
        for (let n = 0; n < 300; n += 50) {
          await Promise.all(
            Array.from({ length: 50 }, (_, m) => api.post(`/rooms/${room_id}/messages`, { content: `${n + m}` })),
          );
        }
      });
      const { stdout } = await running;
      const [joined, received] = stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
      expect(joined).to.include({ ok: true });
      expect(received).to.deep.equal(Array.from({ length: 300 }, (_, n) => n + 1));
    });
  });
});

import { expect } from 'chai';
import { createSharedRoom, itWithBothAdapters, serviceSettings, upTo, waitForBus } from '../helpers/node-pair.ts';
import { runServer } from '../helpers/process.ts';
import { type RedisServer, startRedis } from '../helpers/redis.ts';
import type { SocketClient } from '../helpers/socket-client.ts';
import { testSecret } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const phaseMs = 700;
const messagesPerPhase = 60;

/** Each phase takes this long, and until enough messages were acknowledged in it. */
async function torment({ kill, start, freeze, thaw }: RedisServer, acknowledged: readonly number[]): Promise<void> {
  for (const phase of [kill, start, freeze, thaw, kill, start, freeze, kill, start]) {
    await phase();
    const enough = acknowledged.length + messagesPerPhase;
    await pause(phaseMs);
    await waitUntil('messages are acknowledged in this phase', () => acknowledged.length >= enough);
  }
}

/** Sends about 100 messages a second until `isOver`, and adds the `seq` of those that are acknowledged. */
async function talk(socket: SocketClient, room_id: number, acknowledged: number[], isOver: () => boolean) {
  const sent: Promise<unknown>[] = [];
  while (!isOver()) {
    const acked = socket.request('message:send', { room_id, content: `${sent.length}` });
    sent.push(acked.then(({ message }) => acknowledged.push(message.seq)));
    await pause(10);
  }
  await Promise.all(sent);
}

describe('load while Redis is killed, started, frozen and killed again', () => {
  itWithBothAdapters(
    'keeps the processes alive and delivers everything once and in order to all subscribers',
    async (adapter) => {
      const redis = await startRedis();
      const settings = { ...(await serviceSettings(redis.url)), REDIS_ADAPTER: adapter };
      const env = { ...settings, JWT_SECRET: testSecret, SEND_RATE: 0, REQUEST_RATE: 0, RULE_RATE: 0 };
      const nodes = await Promise.all([runServer(env), runServer(env)]);
      const { room, near, far } = await createSharedRoom(nodes[0]!, nodes[1]!);
      const sockets = [near, far];
      const received: number[][] = [[], []];
      for (const [n, { raw }] of sockets.entries()) raw.on('message:new', ({ seq }) => void received[n]!.push(seq));

      let isOver = false;
      const acknowledged: number[] = [];
      const talking = Promise.all(sockets.map((socket) => talk(socket, room.id, acknowledged, () => isOver)));
      await Promise.race([talking, torment(redis, acknowledged)]);
      isOver = true;
      await talking;
      await waitForBus('up', ...nodes);

      expect(acknowledged.sort((a, b) => a - b)).to.deep.equal(upTo(acknowledged.length));
      await waitUntil('all subscribers have received all messages', () =>
        received.every(({ length }) => length >= acknowledged.length),
      );
      for (const seqs of received) expect(seqs).to.deep.equal(upTo(acknowledged.length));
      for (const { child, kill, exited } of nodes) {
        expect(child.exitCode).to.equal(null);
        kill('SIGKILL');
        expect((await exited).output).to.not.match(/unhandled rejection|uncaught exception/);
      }
      expect(acknowledged.length).to.be.above(500);
    },
  );
});

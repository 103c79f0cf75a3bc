import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../fuzz/random.ts';
import { type Cluster, toNodeName } from './cluster.ts';
import type { Crowd } from './crowd.ts';
import {
  commitLate,
  findDispatcher,
  holdCommit,
  importSlowly,
  killBackend,
  killWhileCommitting,
  lockRooms,
} from './database-faults.ts';
import type { Participant } from './participant.ts';
import type { QuietRooms } from './population.ts';
import type { Evidence } from './record.ts';
import { deleteRoom } from './room-deletion.ts';
import { cutConnections } from './room-history.ts';
import type { ReceiverMode } from './webhook-receiver.ts';

export interface World {
  cluster: Cluster;
  participants: Participant[];
  crowd: Crowd;
  evidence: Evidence;
  quietRooms: QuietRooms;
  /** How long an import takes, in seconds. */
  importSeconds: number;
}

interface FaultKind {
  /** Two faults never hit the same target at the same time. */
  target: 'node' | 'redis' | 'postgres' | 'transaction' | 'clients' | 'receiver';
  /** Some clients receive nothing while it lasts, although they stay connected. */
  isOutage?: true;
  /** Nothing fails: it is only work. */
  isHarmless?: true;
  /** Needs nodes with several workers, or nodes with one process. */
  needs?: 'workers' | 'no workers';
  /** Resolves when everything is up again. `mark` sets the time from which recovery is measured. */
  run(world: World, random: Random, mark: () => void): Promise<void>;
}

const away = (random: Random, maxMs: number) => delay(200 + random.int(maxMs));

const workerMs = 10_000;

async function waitUntil(condition: () => boolean): Promise<void> {
  for (const deadline = performance.now() + workerMs; !condition(); await delay(20)) {
    if (performance.now() > deadline) throw new Error(`The workers have not changed within ${workerMs / 1_000} s`);
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** The receiver of the webhook fails in this way. */
function failReceiver(mode: ReceiverMode): FaultKind & { target: 'receiver' } {
  return {
    target: 'receiver',
    async run({ cluster: { receiver } }, random, mark) {
      await receiver.fail(mode, 500 + random.int(1_500));
      mark();
    },
  };
}

export const faultKinds = {
  'node-kill': {
    target: 'node',
    needs: 'no workers',
    async run({ cluster }, random, mark) {
      const node = random.pick(cluster.nodes);
      await node.stop('SIGKILL');
      mark();
      await away(random, 2_500);
      await node.start();
    },
  },
  'commit-kill': {
    target: 'node',
    async run({ cluster }, random, mark) {
      const node = random.pick(cluster.nodes);
      await killWhileCommitting(cluster.postgres.url, node);
      mark();
      await away(random, 2_500);
      await node.start();
    },
  },
  'dispatcher-kill': {
    target: 'node',
    async run({ cluster }, random, mark) {
      const name = await findDispatcher(cluster.postgres.url);
      const node = cluster.nodes.find(({ account }) => toNodeName(account) === name) ?? random.pick(cluster.nodes);
      await node.stop('SIGKILL');
      mark();
      await away(random, 2_500);
      await node.start();
    },
  },
  'node-drain': {
    target: 'node',
    async run({ cluster }, random, mark) {
      const node = random.pick(cluster.nodes);
      mark();
      await node.stop('SIGTERM');
      await away(random, 500);
      await node.start();
    },
  },
  'worker-kill': {
    target: 'node',
    needs: 'workers',
    async run({ cluster }, random, mark) {
      const node = random.pick(cluster.nodes);
      const workers = node.listWorkers();
      process.kill(random.pick(workers), 'SIGKILL');
      mark();
      await waitUntil(() => node.listWorkers().length === workers.length);
    },
  },
  'worker-freeze': {
    target: 'node',
    isOutage: true,
    needs: 'workers',
    async run({ cluster }, random, mark) {
      const worker = random.pick(random.pick(cluster.nodes).listWorkers());
      process.kill(worker, 'SIGSTOP');
      await away(random, 6_000);
      process.kill(worker, 'SIGCONT');
      mark();
    },
  },
  'primary-kill': {
    target: 'node',
    needs: 'workers',
    async run({ cluster, evidence }, random, mark) {
      const node = random.pick(cluster.nodes);
      const workers = node.listWorkers();
      await node.stop('SIGKILL');
      mark();
      await waitUntil(() => !workers.some(isRunning)).catch(() => {
        evidence.violations.push({ fault: 'process', what: `workers have outlived their primary: ${workers}` });
      });
      await away(random, 2_500);
      await node.start();
    },
  },
  'redis-kill': {
    target: 'redis',
    async run({ cluster: { redis } }, random, mark) {
      await redis!.kill();
      await away(random, 5_000);
      await redis!.start();
      mark();
    },
  },
  'redis-restart': {
    target: 'redis',
    async run({ cluster: { redis } }, _random, mark) {
      await redis!.kill();
      await redis!.start();
      mark();
    },
  },
  'redis-freeze': {
    target: 'redis',
    async run({ cluster: { redis } }, random, mark) {
      redis!.freeze();
      await away(random, 6_000);
      redis!.thaw();
      mark();
    },
  },
  'postgres-restart': {
    target: 'postgres',
    isOutage: true,
    async run({ cluster: { postgres } }, random, mark) {
      await postgres.stop('SIGINT');
      await away(random, 1_000);
      await postgres.start();
      mark();
    },
  },
  'postgres-crash': {
    target: 'postgres',
    isOutage: true,
    async run({ cluster: { postgres } }, random, mark) {
      await postgres.stop('SIGQUIT');
      await away(random, 1_000);
      await postgres.start();
      mark();
    },
  },
  'postgres-cut': {
    target: 'postgres',
    isOutage: true,
    async run({ cluster: { postgres } }, _random, mark) {
      await cutConnections(postgres.url);
      mark();
    },
  },
  'backend-kill': {
    target: 'postgres',
    isOutage: true,
    async run({ cluster: { postgres } }, _random, mark) {
      await killBackend(postgres.url);
      mark();
    },
  },
  'table-lock': {
    target: 'postgres',
    isOutage: true,
    async run({ cluster: { postgres } }, _random, mark) {
      await lockRooms(postgres.url);
      mark();
    },
  },
  'commit-late': {
    target: 'transaction',
    isHarmless: true,
    async run({ cluster: { postgres }, evidence }, _random, mark) {
      await commitLate(postgres.url, evidence);
      mark();
    },
  },
  'commit-held': {
    target: 'transaction',
    isHarmless: true,
    async run({ cluster: { postgres }, evidence, quietRooms }, _random, mark) {
      await holdCommit(postgres.url, quietRooms.held, evidence);
      mark();
    },
  },
  import: {
    // An outage would undo it.
    target: 'postgres',
    isHarmless: true,
    async run({ cluster: { postgres }, evidence, quietRooms, importSeconds }, _random, mark) {
      await importSlowly(postgres.url, quietRooms.imported, importSeconds * 1_000, evidence);
      mark();
    },
  },
  'receiver-error': failReceiver('error'),
  'receiver-slow': failReceiver('slow'),
  'receiver-lost': failReceiver('lost'),
  'receiver-refuse': failReceiver('refuse'),
  'receiver-down': failReceiver('down'),
  crowd: {
    target: 'clients',
    isHarmless: true,
    async run({ crowd }, _random, mark) {
      await crowd.react();
      mark();
    },
  },
  'room-delete': {
    target: 'clients',
    isHarmless: true,
    async run({ cluster, evidence }, random, mark) {
      await deleteRoom(cluster.urls, evidence, random);
      mark();
    },
  },
  'socket-cut': {
    target: 'clients',
    async run({ participants }, random, mark) {
      for (const one of some(participants, random, 0.15)) one.lose('cut');
      mark();
    },
  },
  'socket-vanish': {
    target: 'clients',
    async run({ participants }, random, mark) {
      for (const one of some(participants, random, 0.05)) one.lose('vanish');
      mark();
    },
  },
  'token-expire': {
    target: 'clients',
    async run({ participants }, random, mark) {
      for (const one of some(participants, random, 0.1)) one.shortenToken();
      await delay(2_500);
      mark();
    },
  },
} satisfies Record<string, FaultKind>;

export type FaultName = keyof typeof faultKinds;
const kinds: Record<FaultName, FaultKind> = faultKinds;

export const isOutage = (fault: FaultName): boolean => kinds[fault].isOutage === true;
export const isHarmless = (fault: FaultName): boolean => kinds[fault].isHarmless === true;

/** A single node has no Redis. */
export function isPossible(fault: FaultName, { nodes, workers }: { nodes: number; workers: number }): boolean {
  const { target, needs } = kinds[fault];
  if (needs !== undefined && (needs === 'workers') !== workers > 1) return false;
  return nodes > 1 || target !== 'redis';
}

export const faultNames = Object.keys(faultKinds) as FaultName[];

function some(participants: Participant[], random: Random, share: number): Participant[] {
  return participants.filter(() => random.chance(share));
}

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../../test/helpers/free-port.ts';
import { type PostgresServer, startPostgres } from '../../test/helpers/postgres.ts';
import { type RedisServer, startRedis } from '../../test/helpers/redis.ts';
import { testSecret } from '../../test/helpers/users.ts';
import type { Defect } from './defects.ts';
import { NodeProcess } from './node-process.ts';
import type { Violation } from './record.ts';
import { withDatabase } from './room-history.ts';
import type { WebhookReceiver } from './webhook-receiver.ts';

/** All processes of the run, which the faults can stop. A single node needs no Redis and has none. */
export interface Cluster {
  nodes: NodeProcess[];
  urls: string[];
  postgres: PostgresServer;
  redis: RedisServer | undefined;
  receiver: WebhookReceiver;
  logFiles: string[];
  stop(): Promise<void>;
}

interface Options {
  nodes: number;
  directory: string;
  /** Settings of the nodes by the names of their environment variables. */
  settings: Record<string, string>;
  defect?: Defect | undefined;
  receiver: WebhookReceiver;
}

export async function startCluster({ nodes: count, directory, settings, defect, receiver }: Options): Promise<Cluster> {
  // A commit returns after PostgreSQL has handed the data to the operating system, so that a crash of the server loses
  // nothing.
  const postgres = await startPostgres();
  const redis = count > 1 ? await startRedis() : undefined;
  await receiver.start();
  const env = {
    ...{ PATH: process.env.PATH, JWT_SECRET: testSecret, LOG_LEVEL: 'warn' },
    ...{
      SEND_RATE: '0',
      REQUEST_RATE: '0',
      RULE_RATE: '0',
      READ_RATE: '0',
      MAX_CONNECTIONS_PER_USER: '0',
      ...(redis && { REDIS_URL: redis.url }),
      ...receiver.settings,
      ...settings,
      ...(defect && { TORTURE_DEFECT: defect }),
    },
  };
  const logFiles = Array.from({ length: count }, (_, n) => join(directory, `node-${n + 1}.log`));
  const nodes: NodeProcess[] = [];
  for (const [n, logFile] of logFiles.entries()) {
    // The user of its connections tells which node a backend of PostgreSQL works for.
    const account = `node_${n + 1}`;
    await withDatabase(postgres.url, (database) => database.query(`create role ${account} superuser login`));
    const DATABASE_URL = postgres.url.replace('postgres@', `${account}@`);
    nodes.push(
      new NodeProcess({
        port: await freePort(),
        account,
        env: { ...env, DATABASE_URL, NODE_NAME: toNodeName(account) },
        logFile,
      }),
    );
  }
  process.on('exit', () => {
    for (const node of nodes) node.killNow();
  });
  await Promise.all(nodes.map((node) => node.start()));
  await waitForConsumers(postgres.url);
  return {
    ...{ nodes, postgres, redis, receiver, logFiles },
    urls: nodes.map(({ url }) => url),
    stop: async () => {
      receiver.stop();
      await Promise.all(nodes.map((node) => node.stop('SIGKILL')));
    },
  };
}

export const toNodeName = (account: string) => account.replace('_', '-');

/** A consumer receives only what happens after its name was first seen. */
async function waitForConsumers(url: string): Promise<void> {
  await withDatabase(url, async (database) => {
    for (;;) {
      const { rows } = await database.query(`select from webhooks where name in ('webhook', 'consumer')`);
      if (rows.length === 2) return;
      await delay(50);
    }
  });
}

interface LogFindings {
  violations: Violation[];
  /** The number of times that each warning or error was logged. */
  counts: Map<string, number>;
}

/**
 * Searches the logs of the nodes for errors. Also reports processes that ended unexpectedly, because the restart hides
 * them.
 */
export function searchLogs({ nodes, logFiles }: Pick<Cluster, 'nodes' | 'logFiles'>): LogFindings {
  const violations: Violation[] = nodes.flatMap(({ deaths }) => deaths.map((what) => ({ fault: 'process', what })));
  const counts = new Map<string, number>();
  for (const file of logFiles) {
    for (const line of readFileSync(file, 'utf8').split('\n').filter(Boolean)) {
      const { level, msg, err } = readLine(line);
      const text = `${msg}${err?.message ? `: ${err.message}` : ''}`.replaceAll(/\d+/g, '#');
      const kind = `${level} ${text.slice(0, 150)}`;
      counts.set(kind, (counts.get(kind) ?? 0) + 1);
      const isDefect = Number(level) >= 60 || /unhandled rejection|uncaught exception/.test(line) || isSlip(err?.name);
      if (isDefect) violations.push({ fault: 'process', what: `${file}: ${line.slice(0, 1_000)}` });
    }
  }
  return { violations, counts };
}

/** Errors that only a defect of the program can cause. */
const isSlip = (name = '') => /^(Type|Reference|Range|Syntax|Assertion)Error$/.test(name);

interface LogLine {
  level: number | string;
  msg: string;
  err?: { name?: string; message?: string };
}

function readLine(line: string): LogLine {
  try {
    return JSON.parse(line) as LogLine;
  } catch {
    return { level: 'text', msg: line };
  }
}

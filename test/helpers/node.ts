import type { Logger } from 'pino';
import { type Config, readConfig } from '../../src/config/config.ts';
import { type RunningServer, startServer } from '../../src/server.ts';
import { closeAfterRun, closeLater } from './cleanup.ts';
import { migratedDirectory } from './embedded-template.ts';
import { freshDatabase } from './postgres.ts';
import { sharedRedis } from './redis.ts';
import { adminToken, testSecret } from './users.ts';

/** Settings by the names of their environment variables; undefined removes a default of the test suite. */
export type Settings = Record<string, string | number | undefined>;

/** For values that no setting can express, such as timeouts below a second. */
export type Alter = (config: Config) => Config;

export interface Wiring {
  name: string;
  /** Creates the settings for a new, empty service of this wiring. */
  settings(): Promise<Settings>;
  /** The number of nodes that the test files share. */
  nodes: number;
}

export const embedded: Wiring = { name: 'embedded (PGlite)', nodes: 1, settings: async () => ({}) };

export const postgres: Wiring = {
  name: 'PostgreSQL',
  nodes: 1,
  settings: async () => ({ DATABASE_URL: await freshDatabase() }),
};

/** Two nodes that are connected over Redis, with one of the two Redis adapters. */
const twoNodes = (adapter: 'sharded' | 'classic'): Wiring => ({
  name: `two nodes, Redis ${adapter}`,
  nodes: 2,
  settings: async () => ({
    DATABASE_URL: await freshDatabase(),
    REDIS_URL: await sharedRedis(),
    REDIS_ADAPTER: adapter,
  }),
});

export const sharded = twoNodes('sharded');
export const classic = twoNodes('classic');

export const wirings = [embedded, postgres, sharded, classic];

/** Switches off everything that could interfere with tests that do not need it. */
const testDefaults: Settings = {
  ...{ HOST: '127.0.0.1', PORT: 0, LOG_LEVEL: 'silent', JWT_SECRET: testSecret, ADMIN_TOKEN: adminToken },
  ...{ SEND_RATE: 0, REQUEST_RATE: 0, READ_RATE: 0, RULE_RATE: 0, MAX_CONNECTIONS_PER_USER: 0 },
};

export function createConfig(settings: Settings): Config {
  const given = Object.entries({ ...testDefaults, ...settings }).filter(([, value]) => value !== undefined);
  const config = readConfig(Object.fromEntries(given.map(([name, value]) => [name, String(value)])));
  // In memory, unless the test sets a directory.
  if (config.database.mode === 'embedded' && !settings.DATA_DIR) config.database.directory = undefined;
  return config;
}

/** Starts a node with its own database, for tests that need other settings. */
export async function startNode(
  wiring: Wiring,
  settings: Settings = {},
  alter: Alter = same,
  logger?: Logger,
): Promise<RunningServer> {
  const config = createConfig({ ...(await wiring.settings()), ...settings });
  if (config.database.mode === 'embedded') config.database.directory ??= await migratedDirectory();
  const node = await startServer(alter(config), logger && { logger });
  closeLater(() => node.close());
  return node;
}

const same: Alter = (config) => config;

/** Longer than any test. */
const never = 3_600_000;

/**
 * The intervals between events, which in production are up to two seconds, are short. The other timeouts never end, because on a
 * busy machine they could end in the middle of a test. Tests of these timeouts start their own node.
 */
const sharedTimeouts = {
  inbox: { eventMs: 20, roomMs: 40, pollMs: 60 },
  presence: { eventMs: 50, graceMs: never, answerMs: 15_000 },
  typing: { eventMs: 50, resendMs: never },
};

const shared = new Map<Wiring, Promise<RunningServer[]>>();

/** The nodes of a wiring, shared by all tests, because starting PGlite takes seconds. */
export function sharedNodes(wiring: Wiring): Promise<RunningServer[]> {
  const started = shared.get(wiring) ?? startShared(wiring);
  shared.set(wiring, started);
  return started;
}

async function startShared(wiring: Wiring): Promise<RunningServer[]> {
  const config = { ...createConfig(await wiring.settings()), timeouts: sharedTimeouts };
  if (config.database.mode === 'embedded') config.database.directory = await migratedDirectory(closeAfterRun);
  const nodes: RunningServer[] = [];
  for (let n = 0; n < wiring.nodes; n++) {
    const node = await startServer(config);
    closeAfterRun(() => node.close());
    nodes.push(node);
  }
  return nodes;
}

export interface Context {
  wiring: Wiring;
  /** The URL of a node. With several nodes, each call returns the next one. */
  url(): string;
  /** The URLs of all nodes, for a test that needs a certain node. */
  urls(): string[];
  startNode(settings?: Settings, alter?: Alter): Promise<RunningServer>;
}

/**
 * Runs the same tests over every wiring, for what nodes tell each other over the bus. Starting can take a while, because
 * PostgreSQL may have to be installed.
 */
export function describeEveryWiring(title: string, suite: (ctx: Context) => void): void {
  describeWirings(title, wirings, suite);
}

/**
 * Runs the same tests on PGlite, and on PostgreSQL with two nodes, for what depends on the database or on the number of
 * nodes, but not on the adapter between them.
 */
export function describeBothDatabases(title: string, suite: (ctx: Context) => void): void {
  describeWirings(title, [embedded, sharded], suite);
}

/**
 * For tests that do not depend on the wiring. Nodes that a test starts itself use PostgreSQL, because they start faster
 * there.
 */
export function describeOneWiring(title: string, suite: (ctx: Context) => void): void {
  describeWirings(title, [embedded], suite, postgres);
}

export function describeWirings(title: string, over: Wiring[], suite: (ctx: Context) => void, own?: Wiring): void {
  for (const wiring of over) {
    describe(`${title} [${wiring.name}]`, () => {
      let nodes: RunningServer[] = [];
      let nextNode = 0;
      before(async function () {
        this.timeout(300_000);
        nodes = await sharedNodes(wiring);
      });
      suite({
        wiring,
        url: () => nodes[nextNode++ % nodes.length]!.url,
        urls: () => nodes.map(({ url }) => url),
        startNode: (settings, alter) => startNode(own ?? wiring, settings, alter),
      });
    });
  }
}

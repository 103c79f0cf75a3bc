import { parseArgs } from 'node:util';
import { type FaultName, faultKinds, faultNames } from './faults.ts';

export interface Options {
  seconds: number;
  seed: number;
  nodes: number;
  clients: number;
  rooms: number;
  faults: FaultName[];
  /** More settings of the nodes, by their names in the environment. */
  settings: Record<string, string>;
}

export const usage = `npm run torture -- [options], or npx nano-messaging torture [options]: kills nodes and databases under load, and
counts what was lost

  --seconds N         duration of the load (60)
  --seed N            seed of all random choices; by default a random one, which is printed
  --nodes N           number of nodes (3); a single node runs without Redis
  --clients N         number of clients, over Socket.IO and /chat (120)
  --rooms N           number of rooms (30)
  --redis-adapter A   sharded or classic
  --only A,B          only these faults, of ${faultNames.join(', ')}
  --set NAME=VALUE    a setting of the nodes; may be repeated
  --help`;

/** Throws if an option is unknown or its value is invalid. */
export function readOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      seconds: { type: 'string', default: '60' },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 1_000_000)) },
      nodes: { type: 'string', default: '3' },
      clients: { type: 'string', default: '120' },
      rooms: { type: 'string', default: '30' },
      'redis-adapter': { type: 'string' },
      only: { type: 'string', default: faultNames.join() },
      set: { type: 'string', multiple: true, default: [] },
    },
  });
  const settings = Object.fromEntries(values.set.map((setting) => setting.split(/=(.*)/s, 2) as [string, string]));
  if (values['redis-adapter']) settings.REDIS_ADAPTER = values['redis-adapter'];
  const nodes = wholeNumber('nodes', values.nodes, 1);
  return {
    seconds: wholeNumber('seconds', values.seconds, 1),
    seed: wholeNumber('seed', values.seed, 0),
    nodes,
    clients: wholeNumber('clients', values.clients, 1),
    rooms: wholeNumber('rooms', values.rooms, 1),
    // One node has no Redis.
    faults: faultsOf(values.only).filter((name) => nodes > 1 || faultKinds[name].hurts !== 'redis'),
    settings,
  };
}

function wholeNumber(name: string, text: string, least: number): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number >= least) return number;
  throw new Error(`--${name} must be a whole number of at least ${least}, not ${text}`);
}

function faultsOf(only: string): FaultName[] {
  const names = only.split(',').filter(Boolean);
  const unknown = names.filter((name) => !Object.hasOwn(faultKinds, name));
  if (unknown.length === 0) return names as FaultName[];
  throw new Error(`There is no fault ${unknown.join(', ')}; there are ${faultNames.join(', ')}`);
}

import { InvalidArgument, parseName, parseNames, parseWholeNumber, readCommandLine } from '../command-line.ts';
import { type Defect, defectNames } from './defects.ts';
import { type FaultName, faultNames, isPossible } from './faults.ts';

export interface Options {
  seconds: number;
  seed: number;
  nodes: number;
  /** The processes of each node. */
  workers: number;
  clients: number;
  rooms: number;
  faults: FaultName[];
  defect: Defect | undefined;
  /** Settings of the nodes by the names of their environment variables. */
  settings: Record<string, string>;
}

const usage = `npm run torture -- [options], or npx nano-messaging torture [options]: kills nodes, Redis and PostgreSQL
under load, and compares what each client received with the log

  --seconds N         duration of the load (60)
  --seed N            seed of all random choices; by default a random one, which is printed
  --nodes N           number of nodes (3, or 1 with --workers); a single node runs without Redis
  --workers N         number of workers of each node (1); from 2 on, workers and primaries are killed and frozen, too
  --clients N         number of clients, over Socket.IO and /chat (120)
  --rooms N           number of rooms (30)
  --redis-adapter A   sharded or classic
  --only A,B          only these faults, of ${faultNames.join(', ')}
  --defect NAME       breaks a rule on purpose, so that the run has to fail: one of ${defectNames.join(', ')}
  --set NAME=VALUE    a setting of the nodes; you can repeat it
  --help

Exit codes: 0 no violation; 1 violations or a failed run; 2 invalid arguments`;

const options = {
  seconds: { type: 'string', default: '60' },
  seed: { type: 'string', default: String(Math.floor(Math.random() * 1_000_000)) },
  nodes: { type: 'string' },
  workers: { type: 'string', default: '1' },
  clients: { type: 'string', default: '120' },
  rooms: { type: 'string', default: '30' },
  'redis-adapter': { type: 'string' },
  only: { type: 'string', default: faultNames.join() },
  defect: { type: 'string' },
  set: { type: 'string', multiple: true, default: [] as string[] },
} as const;

export function readOptions(): Options {
  return readCommandLine(usage, options, (values) => {
    const workers = parseWholeNumber('workers', values.workers, 1);
    const nodes = parseWholeNumber('nodes', values.nodes ?? (workers > 1 ? '1' : '3'), 1);
    const adapter = values['redis-adapter'];
    return {
      seconds: parseWholeNumber('seconds', values.seconds, 1),
      seed: parseWholeNumber('seed', values.seed, 0),
      nodes,
      workers,
      clients: parseWholeNumber('clients', values.clients, 1),
      rooms: parseWholeNumber('rooms', values.rooms, 1),
      faults: parseNames('only', values.only, faultNames).filter((name) => isPossible(name, { nodes, workers })),
      defect: values.defect === undefined ? undefined : parseName('defect', values.defect, defectNames),
      settings: {
        ...(workers > 1 && { WORKERS: String(workers) }),
        ...Object.fromEntries(values.set.map(parseSetting)),
        ...(adapter && { REDIS_ADAPTER: parseName('redis-adapter', adapter, ['sharded', 'classic']) }),
      },
    };
  });
}

function parseSetting(text: string): [name: string, value: string] {
  const [name, value] = text.split(/=(.*)/s, 2);
  if (name && value !== undefined) return [name, value];
  throw new InvalidArgument(`--set must have the form NAME=VALUE, not '${text}'`);
}

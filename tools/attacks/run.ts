import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type BalancerKind, startBalancer } from '../../test/helpers/balancer.ts';
import { onRunEnd } from '../../test/helpers/cleanup.ts';
import { freshDatabase } from '../../test/helpers/postgres.ts';
import { runServer } from '../../test/helpers/process.ts';
import { rest } from '../../test/helpers/rest-client.ts';
import { createUser, testSecret } from '../../test/helpers/users.ts';
import { parseName, parseNames, parseWholeNumber, readCommandLine } from '../command-line.ts';
import { type Attack, attacks, type Outcome, type Target } from './memory-attacks.ts';

const usage = `node tools/attacks/run.ts [options]: measures the memory of a node while a client attacks it, and whether the node survives.
Starts a separate node with little memory for each attack. Each attack is limited in time and connections.

  --only A,B         only these attacks, of those listed below (all)
  --seconds N        duration of each attack (6)
  --connections N    number of connections (250)
  --heap N           maximum heap of the node in MiB (512)
  --checkout PATH    attacks another checkout of the service
  --through NAME     puts two nodes behind the balancer of deploy/: nginx or haproxy
  --url URL          attacks a running server instead, and only reports whether it still answers
  --token T          with --url: a token, for the attacks of a user
  --room N           with --url: a room of that user (1)
  --help

Attacks: ${Object.keys(attacks).join(', ')}

Exit codes: 0 all survived; 1 a server did not survive; 2 invalid arguments`;

const options = {
  checkout: { type: 'string', default: resolve(import.meta.dirname, '../..') },
  through: { type: 'string' },
  url: { type: 'string' },
  token: { type: 'string' },
  room: { type: 'string', default: '1' },
  only: { type: 'string', default: Object.keys(attacks).join() },
  seconds: { type: 'string', default: '6' },
  connections: { type: 'string', default: '250' },
  heap: { type: 'string', default: '512' },
} as const;
const values = readCommandLine(usage, options, (given) => ({
  ...given,
  through: given.through === undefined ? undefined : parseName('through', given.through, ['nginx', 'haproxy']),
  only: parseNames('only', given.only, Object.keys(attacks)),
  seconds: parseWholeNumber('seconds', given.seconds, 1),
  connections: parseWholeNumber('connections', given.connections, 1),
  heap: parseWholeNumber('heap', given.heap, 1),
  room: parseWholeNumber('room', given.room, 1),
}));

const mebibytes = (bytes: number) => `${Math.round(bytes / 1_048_576)} MiB`;

interface Report {
  sent: string;
  open: number;
  before?: string;
  peak?: string;
  survived: boolean;
}

/** Reads the memory of a local process in bytes. */
function readMemory(pid: number): number | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    // The entry is missing for a process that has ended.
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1_024;
  } catch {
    return undefined;
  }
}

const answers = (url: string) =>
  fetch(`${url}/healthz`, { signal: AbortSignal.timeout(5_000) }).then(
    ({ status }) => status === 200,
    () => false,
  );

function startNode(attack: Attack, databaseUrl: string, name: string) {
  const settings = {
    ...{ DATABASE_URL: databaseUrl, JWT_SECRET: testSecret, SEND_RATE: 0, LOG_LEVEL: 'info', NODE_NAME: name },
    ...{ NODE_OPTIONS: `--max-old-space-size=${values.heap}`, MAX_CONNECTIONS_PER_USER: 0 },
    ...attack.settings,
  };
  return runServer(settings, values.checkout);
}

/** Attacks one node, or two nodes behind a balancer. With two nodes, the larger memory counts. */
async function attackOwn(attack: Attack): Promise<Report> {
  const databaseUrl = await freshDatabase();
  const first = await startNode(attack, databaseUrl, 'chat-1');
  const nodes = values.through ? [first, await startNode(attack, databaseUrl, 'chat-2')] : [first];
  const url = values.through ? await openBalancer(values.through, nodes) : first.url;
  const person = createUser({ level: 100 });
  const { room } = (await rest(url, person.token).post('/rooms', { name: 'attacked' })).body.content;
  const largest = () => Math.max(...nodes.map(({ child }) => readMemory(child.pid!) ?? 0));
  const before = largest();
  let peak = before;
  let hasEnded = false;
  for (const { exited } of nodes) {
    void exited.then(() => {
      hasEnded = true;
    });
  }
  const watch = setInterval(() => {
    peak = Math.max(peak, largest());
  }, 25);
  const outcome = await bounded(attack, { url, person, room_id: room.id, databaseUrl });
  clearInterval(watch);
  // The balancer may still refuse this address because of the attack, so this asks the nodes themselves.
  const survived = !hasEnded && (await Promise.all(nodes.map((node) => answers(node.url)))).every(Boolean);
  for (const node of nodes) node.kill('SIGKILL');
  await Promise.all(nodes.map(({ exited }) => exited));
  const { sent, open } = outcome;
  return { sent, open, before: mebibytes(before), peak: mebibytes(peak), survived };
}

async function openBalancer(kind: BalancerKind, nodes: readonly { url: string }[]): Promise<string> {
  const [first, second] = nodes.map(({ url }) => Number(new URL(url).port));
  return (await startBalancer(kind, [first!, second!])).url;
}

async function bounded(attack: Attack, target: Omit<Target, 'connections' | 'until'>) {
  const until = performance.now() + values.seconds * 1_000;
  const failed = (): Outcome => ({ sentBytes: Number.NaN, open: 0 });
  const { sentBytes, open } = await attack.run({ ...target, connections: values.connections, until }).catch(failed);
  return { sent: Number.isNaN(sentBytes) ? 'unknown: the attack failed' : mebibytes(sentBytes), open };
}

async function attackThere(attack: Attack, url: string): Promise<Report | undefined> {
  const { token } = values;
  if (attack.needs?.includes('database') || (attack.needs?.includes('token') && !token)) return undefined;
  const person = token ? { token } : undefined;
  const outcome = await bounded(attack, { url, person, room_id: values.room, databaseUrl: undefined });
  return { ...outcome, survived: await answers(url) };
}

let allSurvived = true;
for (const name of values.only) {
  const attack = attacks[name]!;
  const report = values.url ? await attackThere(attack, values.url) : await attackOwn(attack);
  if (!report) continue;
  const { sent, open, before, peak, survived } = report;
  const memory = before ? `, memory ${before} → ${peak}` : '';
  console.log(
    `${name}: ${attack.what}. Sent ${sent}, ${open} connections open at the end${memory}: ${survived ? 'survived' : 'DEAD'}`,
  );
  allSurvived &&= survived;
}
await onRunEnd();
process.exit(allSurvived ? 0 : 1);

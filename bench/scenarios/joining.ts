import { setTimeout as pause } from 'node:timers/promises';
import { createRoom } from '../../test/helpers/rooms.ts';
import { createUser, type TestUser } from '../../test/helpers/users.ts';
import { bareSocketio, type Contender, type Service, service } from '../contenders.ts';
import { startLoad } from '../load/load.ts';
import { cpuMsOf } from '../machine/cpu.ts';
import { atMost, figure, inTurn, type Row, type Scenario } from '../scenario.ts';
import type { Sample } from '../statistics.ts';

const members = 1_000;
const atOnce = 64;
const quietMs = 500;

interface Wave {
  name: string;
  measure: () => Promise<Sample>;
}

/**
 * Connected and authenticated users join. The first join of each user accepts an invitation; the second does not.
 * Measures one room, where every member is notified of every acceptance, and many rooms.
 */
function joins(rooms: number): Scenario {
  const options = rooms === 1 ? 'one room' : `${rooms} rooms`;
  return {
    name: `joins-${rooms}`,
    title: `${members.toLocaleString('en-US')} joins of connected users, ${options}, ${atOnce} at once`,
    async run(databases, { rounds, against }) {
      const socketio = await bareSocketio();
      const ours = await service(databases);
      const before = against === undefined ? undefined : await service(databases, { checkout: against });
      const bare = { name: socketio.name, measure: () => wave(socketio, ['none'], Array(members).fill(1)) };
      const waves = [bare, ...[ours, before].flatMap((one) => (one ? wavesOf(one, rooms) : []))];
      for (const { measure } of waves) await measure();
      const rows = await inTurn(waves, rounds, ({ measure }) => measure());
      const reaches = [ours.chat, ours.socketio].map(({ name }) =>
        atMost(1.5, `${name}, ${options}: CPU of a first join ÷ repeated`, ratio(rows, name)),
      );
      return { rows, reaches, faults: [] };
    },
  };
}

export const joining = [joins(1), joins(200)];

const ratio = (rows: readonly Row[], name: string) =>
  figure(rows, `${name}: first`, 'cpuUsPerJoin') / figure(rows, `${name}: repeated`, 'cpuUsPerJoin');

/** Measures first joins before repeated joins. Every round has new users and new rooms. */
function wavesOf(server: Service, rooms: number): Wave[] {
  return [server.chat, server.socketio].flatMap((contender) => {
    const first = async () => {
      const { tokens, places } = await invited(server, rooms);
      return wave(contender, tokens, places);
    };
    const again = async () => {
      const { tokens, places } = await invited(server, rooms);
      await wave(contender, tokens, places);
      return wave(contender, tokens, places);
    };
    return [
      { name: `${contender.name}: first`, measure: first },
      { name: `${contender.name}: repeated`, measure: again },
    ];
  });
}

/** Creates users with unanswered invitations, written directly to the database as the import does. */
async function invited(
  { owner, urls, query }: Service,
  rooms: number,
): Promise<{ tokens: string[]; places: number[] }> {
  const people: TestUser[] = Array.from({ length: members }, () => createUser({ level: 0 }));
  const ids: number[] = [];
  for (let n = 0; n < rooms; n++) ids.push((await createRoom(urls[0]!, owner, { open_to_entity: false })).id);
  const places = people.map((_, n) => ids[n % rooms]!);
  await query(
    `insert into permission_rules (room_id, grantee, kind, permissions, level, created_at, updated_at)
     select room_id, grantee, 'user', 'rw', 0, date_trunc('milliseconds', now()), date_trunc('milliseconds', now())
     from unnest(array[${places}]::bigint[], array[${people.map(({ user }) => `'${user}'`)}]::uuid[]) as i(room_id, grantee)`,
  );
  return { tokens: people.map(({ token }) => token), places };
}

async function wave(contender: Contender, tokens: string[], places: number[]): Promise<Sample> {
  const { dialect, urls, pids, behind } = contender;
  const load = startLoad();
  await load.open({ dialect, urls, tokens, rooms: places, atOnce: 32, begins: 'outside' });
  await pause(quietMs);
  const [serverBefore, behindBefore] = [cpuMsOf(pids), cpuMsOf(behind)];
  const { seconds, p50, p99, refused } = await load.join(atOnce);
  // The changes that result from the joins are delivered after the last join is acknowledged.
  await pause(quietMs);
  const serverUsPerJoin = ((cpuMsOf(pids) - serverBefore) * 1_000) / places.length;
  const databasesUsPerJoin = ((cpuMsOf(behind) - behindBefore) * 1_000) / places.length;
  const failures = await load.failures();
  if (failures.length > 0) throw new Error(`${contender.name}: ${failures}`);
  await load.close();
  return {
    ...{ joinsPerSecond: places.length / seconds, serverUsPerJoin, databasesUsPerJoin },
    ...{ cpuUsPerJoin: serverUsPerJoin + databasesUsPerJoin, confirmP50Ms: p50, confirmP99Ms: p99, refused },
  };
}

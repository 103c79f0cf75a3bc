import { type Service, service } from '../contenders.ts';
import {
  type CommandConnection,
  closedCommandLoop,
  type MakeCommand,
  openCommandConnection,
} from '../load/commands.ts';
import { cpuMsOf } from '../machine/cpu.ts';
import { atLeast, figure, inTurn, type Scenario } from '../scenario.ts';

const rooms = 64;
const crowd = 1_000;

/**
 * Edits, reactions and marks, compared with messages that the same connections send in the same way. Each connection
 * waits for each answer.
 */
export const conversation: Scenario = {
  name: 'conversation',
  title: `Edits, reactions and read marks on /chat: ${rooms} rooms, and one room with ${crowd} members, closed loop`,
  async run(databases, { rounds, seconds }) {
    const ours = await service(databases, { settings: { READ_RATE: '0' } });
    const ids = await ours.rooms(rooms);
    const [crowded] = (await ours.rooms(1)) as [number];
    const single = await openAll(ours, ids);
    const many = await openAll(
      ours,
      Array.from({ length: crowd }, (_, n) => ids[n % rooms]!),
    );
    const oneRoom = await openAll(
      ours,
      Array.from({ length: crowd }, () => crowded),
    );
    for (const connection of [...single, ...oneRoom.slice(0, 1)]) await connection.run(message(0, 0));
    const all: { name: string; connections: CommandConnection[]; command: MakeCommand }[] = [
      { name: 'messages', connections: single, command: message },
      {
        name: 'edits',
        connections: single,
        command: (n) => ({ type: 'edit', seq: 1, content: `version ${n} ${Math.random()}` }),
      },
      { name: 'forced marks', connections: single, command: (n) => ({ type: 'mark_read', seq: n % 2, force: true }) },
      { name: 'marks at the newest message', connections: single, command: markNewest },
      { name: `reactions, ${crowd} members in ${rooms} rooms`, connections: many, command: reaction },
      { name: `reactions, ${crowd} members in one room`, connections: oneRoom, command: reaction },
    ];
    const own = [...ours.pids, ...ours.behind];
    const measure = async ({ connections, command }: (typeof all)[number]) => {
      const cpuBefore = cpuMsOf(own);
      const sample = await closedCommandLoop(connections, seconds, command);
      const count = sample.requestsPerSecond! * seconds;
      return { ...sample, serverUsPerRequest: ((cpuMsOf(own) - cpuBefore) * 1_000) / count };
    };
    for (const one of all) await measure(one);
    const rows = await inTurn(all, rounds, measure);
    const rate = (name: string) => figure(rows, name, 'requestsPerSecond');
    const reaches = ['forced marks', 'marks at the newest message'].map((name) =>
      atLeast(2, `${name}/s ÷ messages/s`, rate(name) / rate('messages')),
    );
    return { rows, reaches, faults: [] };
  },
};

const message: MakeCommand = () => ({ type: 'message', content: 'x'.repeat(100) });
const markNewest: MakeCommand = () => ({ type: 'mark_read', seq: Number.MAX_SAFE_INTEGER });
const reaction: MakeCommand = (n) => ({ type: 'react', seq: 1, emoji: '👍', remove: n % 2 === 1 });

/** One connection of a different user in each of the rooms. */
async function openAll(ours: Service, roomIds: readonly number[]): Promise<CommandConnection[]> {
  const tokens = ours.tokens(roomIds.length);
  const connections: CommandConnection[] = [];
  for (let n = 0; n < roomIds.length; n += 32) {
    const part = roomIds.slice(n, n + 32).map((room, k) => openCommandConnection(ours.urls[0]!, tokens[n + k]!, room));
    connections.push(...(await Promise.all(part)));
  }
  return connections;
}

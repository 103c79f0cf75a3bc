import { service } from '../contenders.ts';
import { closedCommandLoop, openCommandConnection } from '../load/commands.ts';
import { atMost, figure, type Scenario, together } from '../scenario.ts';

const rooms = 20_000;
const messages = 10_000_000;
const senders = 64;
const secondsBefore = 5;
const secondsAfter = 5;

/**
 * Starts a node of this version on the database of the version before, whose node goes on sending. The first node of a
 * new version migrates the database.
 */
export const upgrade: Scenario = {
  name: 'upgrade',
  title: `Upgrade of ${messages.toLocaleString('en-US')} messages in ${rooms.toLocaleString('en-US')} rooms while the previous version sends`,
  isExtra: true,
  async run(databases, { against }) {
    if (against === undefined) throw new Error('The scenario upgrade needs --against with the version to upgrade from');
    const before = await service(databases, { checkout: against });
    const ids = await before.rooms(senders);
    await before.query(`insert into rooms
      (uuid, name, type, level_admin, user_owner, max_entity_rules, last_seq, last_rev, last_change_at, created_at, updated_at)
      select gen_random_uuid(), 'a room', 'group', 100, gen_random_uuid(), 10, ${messages / rooms}, ${messages / rooms},
        now(), now(), now() from generate_series(1, ${rooms})`);
    await before.query(`insert into messages (room_id, seq, rev, emitter, content, created_at, updated_at)
      select r.id, n, n, r.user_owner, repeat('x', 100), now(), now() from rooms r, generate_series(1, ${messages / rooms}) n
      where r.last_seq > 0`);
    await before.query('vacuum analyze');
    const tokens = before.tokens(senders);
    const connections = await Promise.all(
      ids.map((room, n) => openCommandConnection(before.urls[0]!, tokens[n]!, room)),
    );
    const message = () => ({ type: 'message', content: 'x'.repeat(100) });
    const rows = await together(['sends during the upgrade'], 1, async () => {
      let upgradeSeconds = 0;
      let isOver = false;
      const upgraded = sleep(secondsBefore).then(async () => {
        const startedAt = performance.now();
        await service(databases, { database: before.database });
        upgradeSeconds = (performance.now() - startedAt) / 1_000;
        await sleep(secondsAfter);
        isOver = true;
      });
      const samples = [];
      while (!isOver) samples.push(await closedCommandLoop(connections, 1, message));
      await upgraded;
      const slowest = Math.max(...samples.map(({ confirmMaxMs }) => confirmMaxMs!));
      const median = samples.map(({ confirmP50Ms }) => confirmP50Ms!).sort((a, b) => a - b)[samples.length >> 1]!;
      return [{ upgradeSeconds, confirmP50Ms: median, confirmMaxMs: slowest }];
    });
    const longest = figure(rows, 'sends during the upgrade', 'confirmMaxMs');
    return { rows, reaches: [atMost(2_000, 'longest confirmation during the upgrade, ms', longest)], faults: [] };
  },
};

const sleep = (seconds: number) => new Promise<void>((resolve) => setTimeout(resolve, seconds * 1_000));

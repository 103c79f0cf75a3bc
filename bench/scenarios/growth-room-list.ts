import { restCalls } from '../../test/helpers/rest-calls.ts';
import { createUser, type TestUser } from '../../test/helpers/users.ts';
import { type Service, service } from '../contenders.ts';
import { inTurn, type Scenario } from '../scenario.ts';
import { requests } from './history.ts';

const sizes = [1, 100, 1_000];
/** The number of rooms in the database. The rooms of a user are spread randomly among them. */
const rooms = 20_000;
/** The number of rules of each room, besides those of the measured users. */
const rules = 8;
/** The number of users of each size, one for each round. */
const users = 5;

/** Measures the list of a user's rooms by its length. */
export const growthRoomList: Scenario = {
  name: 'growth-room-list',
  title: `The list of the rooms a user is in, of ${rooms.toLocaleString('en-US')}, over HTTP`,
  isExtra: true,
  async run(databases, { rounds, seconds }) {
    const ours = await service(databases);
    await makeRooms(ours);
    const asks: { name: string; people: TestUser[] }[] = [];
    for (const size of sizes) {
      const people: TestUser[] = [];
      while (people.length < users) people.push(await createUserIn(ours, size));
      asks.push({ name: `in ${size.toLocaleString('en-US')}`, people });
    }
    await ours.query('vacuum analyze');
    const url = `${ours.urls[0]}/rooms`;
    const measure = ({ people }: { people: TestUser[] }, round: number) =>
      requests(url, people[round % users]!.token, seconds, [...ours.pids, ...ours.behind]);
    for (const ask of asks) await measure(ask, 0);
    return { rows: await inTurn(asks, rounds, measure), reaches: [], faults: [] };
  },
};

async function makeRooms(ours: Service): Promise<void> {
  await ours.query(`insert into rooms
    (uuid, name, type, level_admin, user_owner, max_entity_rules, last_change_at, created_at, updated_at)
    select gen_random_uuid(), 'a room', 'group', 100, gen_random_uuid(), 100, now() - n * interval '1 s', now(), now()
    from generate_series(1, ${rooms}) n`);
  await ours.query(`insert into permission_rules
    (room_id, grantee, kind, permissions, level, accepted, created_at, updated_at)
    select id, case n when 1 then user_owner else gen_random_uuid() end, 'user', 'rwa', 0, true, now(), now()
    from rooms, generate_series(1, ${rules}) n`);
}

/** Creates a user who has accepted invitations to `count` rooms. */
async function createUserIn(ours: Service, count: number): Promise<TestUser> {
  const person = createUser();
  await ours.query(`insert into permission_rules
    (room_id, grantee, kind, permissions, level, accepted, created_at, updated_at)
    select id, '${person.user}', 'user', 'rw', 0, true, now(), now() from rooms order by random() limit ${count}`);
  const listed = (await restCalls(ours.urls[0]!, person.token).get('/rooms')).body.content.length;
  if (listed !== count) throw new Error(`${listed} rooms are listed of ${count}`);
  return person;
}

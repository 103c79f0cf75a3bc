import { randomUUID } from 'node:crypto';
import { restCalls } from '../../test/helpers/rest-calls.ts';
import { createUser, type TestUser } from '../../test/helpers/users.ts';
import { type Random, random } from '../fuzz/random.ts';
import { chatDial } from './chat-connection.ts';
import { Crowd } from './crowd.ts';
import type { Owner } from './owner.ts';
import { Participant } from './participant.ts';
import type { Evidence, Transport } from './record.ts';
import { socketioDial } from './socketio-connection.ts';

const level = 50;
const organisations = 4;

/** A grantee whose rule in a room may be changed, and their original rule. */
export interface Grantee {
  room: number;
  kind: 'user' | 'entity';
  uuid: string;
  /** Undefined if the user has no rule, because the rule of their organisation admits them. */
  initialRule: 'rw' | undefined;
}

/** Rooms of all organisations, in which only long transactions write. These hold the locks of the rooms. */
export interface QuietRooms {
  held: number;
  imported: number;
}

export interface Population {
  participants: Participant[];
  grantees: Grantee[];
  rooms: number[];
  crowd: Crowd;
  quietRooms: QuietRooms;
}

interface Options {
  clients: number;
  rooms: number;
  seed: number;
  urls: string[];
  databaseUrl: () => string;
}

/**
 * Creates rooms, users and rules. In every third room, users belong to it by their organisation, elsewhere by their own
 * rules.
 */
export async function createPopulation(options: Options, owner: Owner, evidence: Evidence): Promise<Population> {
  const chance = random(options.seed);
  const createRoom = async (name: string, more: object = {}): Promise<number> => {
    const room = { name, max_entity_rules: 1_000, ...more };
    const { status, body } = await restCalls(options.urls[0]!, owner.person.token).post('/rooms', room);
    if (status !== 200) throw new Error(`The room was not created: ${JSON.stringify(body)}`);
    return body.content.room.id;
  };
  const rooms: number[] = [];
  for (let n = 0; n < options.rooms; n++) {
    const receipts = n % 2 === 0;
    const room = await createRoom(`room ${n}`, { receipts });
    rooms.push(room);
    if (receipts) evidence.receiptRooms.add(room);
  }
  const entities = Array.from({ length: organisations }, () => randomUUID());
  const quietRooms = { held: await createRoom('held'), imported: await createRoom('imported') };
  for (const room of Object.values(quietRooms))
    for (const uuid of entities) await owner.put({ room, kind: 'entity', uuid, initialRule: 'rw' }, 'rw');
  const participants: Participant[] = [];
  const people: TestUser[] = [];
  const grantees = new Map<string, Grantee>();
  for (let n = 0; n < options.clients; n++) {
    const person = createPerson(n, people, entities);
    people.push(person);
    const hides = hidesItself(n) ? { hidesPresence: true, hidesReceipts: true } : {};
    evidence.users.set(person.user, { entity: person.entity, level, ...hides });
    const mine = chooseRooms(n, rooms, chance);
    participants.push(createParticipant(n, person, mine, options, evidence));
    for (const room of mine)
      for (const grantee of toGrantees(room, rooms, person)) {
        grantees.set(`${grantee.room} ${grantee.uuid}`, grantee);
      }
  }
  const all = [...grantees.values()];
  await Promise.all(
    [0, 1, 2, 3].map(async (lane) => {
      for (const grantee of all.filter((_, n) => n % 4 === lane)) {
        if (grantee.initialRule) await owner.put(grantee, grantee.initialRule);
      }
    }),
  );
  const [grantee] = all.filter(({ kind }) => kind === 'entity');
  const entity = grantee?.uuid ?? entities[0]!;
  const crowdRooms = all.filter(({ uuid }) => uuid === entity).map(({ room }) => room);
  const { urls, databaseUrl, seed } = options;
  const crowd = new Crowd({ urls, databaseUrl, random: random(seed), entity, level, rooms: crowdRooms }, evidence);
  return { participants, grantees: all, rooms, crowd, quietRooms };
}

const hidesItself = (n: number) => n % 12 === 2;

/** Every second client with an inbox is a second device of the user of the one before it. */
function createPerson(n: number, people: TestUser[], entities: string[]): TestUser {
  if (n % 12 === 6) return people[n - 6]!;
  const scope = hidesItself(n) ? { scope: 'presence:hidden receipts:hidden' } : {};
  return createUser({ entity: entities[n % organisations]!, level, ...scope });
}

/** Chooses the rooms of a client: one to four on Socket.IO; on `/chat` one, and another to switch to. */
function chooseRooms(n: number, rooms: number[], chance: Random): number[] {
  const count = n % 2 ? 1 + chance.int(2) : 1 + chance.int(4);
  const homes = new Set([rooms[Math.floor(n / 2) % rooms.length]!]);
  while (homes.size < Math.min(count, rooms.length)) homes.add(chance.pick(rooms));
  return [...homes];
}

function toGrantees(room: number, rooms: number[], { user, entity }: TestUser): Grantee[] {
  const byOrganisation = rooms.indexOf(room) % 3 === 0;
  const own: Grantee = { room, kind: 'user', uuid: user, initialRule: byOrganisation ? undefined : 'rw' };
  return byOrganisation ? [own, { room, kind: 'entity', uuid: entity, initialRule: 'rw' }] : [own];
}

/** Half of the clients use `/chat`, and half of those with events. */
function chooseTransport(n: number): Transport {
  if (n % 2 === 0) return 'socketio';
  return n % 4 === 1 ? 'chat with events' : 'chat';
}

function createParticipant(n: number, person: TestUser, rooms: number[], { seed, urls }: Options, evidence: Evidence) {
  const isChat = n % 2 === 1;
  const transports: ('websocket' | 'polling')[] =
    n % 30 === 10 ? ['polling'] : n % 10 === 4 ? ['polling', 'websocket'] : ['websocket'];
  const profile = {
    name: `${isChat ? 'chat' : 'io'}${n}`,
    ...{ hasInbox: n % 6 === 0, mayForce: n % 4 === 0, asksPresence: n % 4 === 0 || n % 30 === 10 },
    polls: transports[0] === 'polling',
    ...{ person, rooms, transport: chooseTransport(n) },
    dial: isChat ? chatDial(person.user, n % 4 === 1) : socketioDial(transports),
  };
  return new Participant(profile, urls, random(seed * 1_000 + n), evidence);
}

import type { App } from './app.ts';
import type { Pane } from './pane.ts';
import type { Organisation, People, Person } from './people.ts';
import { newUuid } from './uuid.ts';

const cast = [
  { name: 'Ada', organisation: 'Acme', level: 100 },
  { name: 'Ben', organisation: 'Acme', level: 10 },
  { name: 'Cleo', organisation: 'Globex', level: 0 },
];

const title = 'Launch day';

const conversation: [speaker: 'left' | 'right', text: string][] = [
  ['left', 'Morning! The rocket is fuelled up and the weather looks good.'],
  ['right', 'Great. Telemetry is green on my side, all 48 channels.'],
  ['right', 'Only the camera on the tower is still warming up.'],
  ['left', 'Then we go at noon. Cleo from Globex wants to watch, I will invite her later.'],
  ['right', 'Sounds good. I stay here until lift-off.'],
];

/** Creates two people in a room with a few messages, and a third person to invite. */
export async function loadSample({ people, panes }: App): Promise<void> {
  const [ada, ben] = cast.map((one) => findOrCreatePerson(people, one)) as [Person, Person];
  assignPerson(panes.left, ada);
  assignPerson(panes.right, ben);
  const before = panes.left.rooms?.filter(({ name }) => name.startsWith(title)).length ?? 0;
  const name = before === 0 ? title : `${title} ${before + 1}`;
  if (!(await panes.left.createRoom({ name, type: 'group' }))) return;
  const room = panes.left.current!;
  await panes.left.putMember(room, { entity_UUID: ben.id, kind: 'user' }, { permissions: 'rw' });
  panes.right.enter(room);
  await panes.right.openRoom?.room.joined().catch(() => {});
  for (const [speaker, text] of conversation) await panes[speaker].sendOverRest(room, text);
}

function assignPerson(pane: Pane, person: Person): void {
  if (pane.person?.id !== person.id || pane.isOffline) pane.setPerson(person);
}

/** Reuses the person of an earlier sample. */
function findOrCreatePerson(people: People, { name, organisation, level }: (typeof cast)[number]): Person {
  const home = findOrCreateOrganisation(people, organisation);
  const known = people.all.find((person) => person.name === name && person.organisation === home.id);
  return known ?? people.put({ id: newUuid(), name, organisation: home.id, level });
}

function findOrCreateOrganisation(people: People, name: string): Organisation {
  const known = people.organisations.find((organisation) => organisation.name === name);
  return known ?? people.putOrganisation({ id: newUuid(), name });
}

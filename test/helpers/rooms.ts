import type { Json } from './json.ts';
import { rest } from './rest-client.ts';
import { createUser, type TestUser } from './users.ts';

/** A room that the test takes for granted. */
export async function createRoom(url: string, owner: TestUser, wish: object = {}): Promise<Json> {
  const { status, body } = await rest(url, owner.token).post('/rooms', { name: 'a room', ...wish });
  if (status !== 200) throw new Error(`The room was not made: ${JSON.stringify(body)}`);
  return body.content.room;
}

/** A room whose organisation is nobody's: only its creator administers it. */
export async function createRoomWithOwner(url: string, wish: object = {}): Promise<{ owner: TestUser; room: Json }> {
  const owner = createUser({ level: 100 });
  return { owner, room: await createRoom(url, owner, wish) };
}

/** A rule that the test takes for granted. */
export async function putRule(url: string, admin: TestUser, room: { id: number }, rule: object): Promise<Json> {
  const { status, body } = await rest(url, admin.token).put(`/rooms/${room.id}/members`, rule);
  if (status >= 300) throw new Error(`The rule was not put: ${JSON.stringify(body)}`);
  return body.content;
}

/** Somebody whom the room's owner has just let in. */
export async function createMember(
  url: string,
  owner: TestUser,
  room: { id: number },
  permissions = 'rw',
): Promise<TestUser> {
  const person = createUser();
  await putRule(url, owner, room, { userUUID: person.user, permissions });
  return person;
}

/** Messages one after the other, so that their seq is their order. */
export async function sendMessages(
  url: string,
  person: TestUser,
  room: { id: number },
  ...contents: string[]
): Promise<Json[]> {
  const said: Json[] = [];
  for (const content of contents) {
    const { status, body } = await rest(url, person.token).post(`/rooms/${room.id}/messages`, { content });
    if (status !== 201) throw new Error(`The message was not taken: ${JSON.stringify(body)}`);
    said.push(body.content);
  }
  return said;
}

/** The position of the room's log: whether something was a change. */
export async function readRev(url: string, person: TestUser, room: { id: number }): Promise<number> {
  return (await rest(url, person.token).get(`/rooms/${room.id}/messages?limit=1`)).body.meta.rev;
}

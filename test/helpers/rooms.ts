import type { Json } from './json.ts';
import { rest } from './rest-client.ts';
import { createUser, type TestUser } from './users.ts';

/** Creates a room; throws if that fails. */
export async function createRoom(url: string, owner: TestUser, options: object = {}): Promise<Json> {
  const { status, body } = await rest(url, owner.token).post('/rooms', { name: 'a room', ...options });
  if (status !== 200) throw new Error(`The room was not created: ${JSON.stringify(body)}`);
  return body.content.room;
}

/** Creates a room that only its creator administers, because its organisation has no users. */
export async function createRoomWithOwner(url: string, options: object = {}): Promise<{ owner: TestUser; room: Json }> {
  const owner = createUser({ level: 100 });
  return { owner, room: await createRoom(url, owner, options) };
}

/** Puts a rule; throws if that fails. */
export async function putRule(url: string, admin: TestUser, room: { id: number }, rule: object): Promise<Json> {
  const { status, body } = await rest(url, admin.token).put(`/rooms/${room.id}/members`, rule);
  if (status >= 300) throw new Error(`The rule was not put: ${JSON.stringify(body)}`);
  return body.content;
}

/** Creates a user and adds them to the room. */
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

/** Sends messages one after the other, so that they are stored in this order. */
export async function sendMessages(
  url: string,
  person: TestUser,
  room: { id: number },
  ...contents: string[]
): Promise<Json[]> {
  const sent: Json[] = [];
  for (const content of contents) {
    const { status, body } = await rest(url, person.token).post(`/rooms/${room.id}/messages`, { content });
    if (status !== 201) throw new Error(`The message was not accepted: ${JSON.stringify(body)}`);
    sent.push(body.content);
  }
  return sent;
}

/** Reads the `rev` of the room, which shows whether something counted as a change. */
export async function readRev(url: string, person: TestUser, room: { id: number }): Promise<number> {
  return (await rest(url, person.token).get(`/rooms/${room.id}/messages?limit=1`)).body.meta.rev;
}

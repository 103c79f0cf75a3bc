import type { Loose } from './loose.ts';
import { type Person, somebody } from './people.ts';
import { rest } from './rest-client.ts';

/** A room that the test takes for granted. */
export async function newRoom(url: string, owner: Person, wish: object = {}): Promise<Loose> {
  const { status, body } = await rest(url, owner.token).post('/rooms', { name: 'a room', ...wish });
  if (status !== 200) throw new Error(`The room was not made: ${JSON.stringify(body)}`);
  return body.content.room;
}

/** A room whose organisation is nobody's: only its creator administers it. */
export async function ownRoom(url: string, wish: object = {}): Promise<{ owner: Person; room: Loose }> {
  const owner = somebody({ level: 100 });
  return { owner, room: await newRoom(url, owner, wish) };
}

/** A rule that the test takes for granted. */
export async function putRule(url: string, admin: Person, room: { id: number }, rule: object): Promise<Loose> {
  const { status, body } = await rest(url, admin.token).put(`/rooms/${room.id}/members`, rule);
  if (status >= 300) throw new Error(`The rule was not put: ${JSON.stringify(body)}`);
  return body.content;
}

/** Somebody whom the room's owner has just let in. */
export async function member(url: string, owner: Person, room: { id: number }, permissions = 'rw'): Promise<Person> {
  const person = somebody();
  await putRule(url, owner, room, { userUUID: person.user, permissions });
  return person;
}

/** Messages one after the other, so that their seq is their order. */
export async function say(url: string, person: Person, room: { id: number }, ...contents: string[]): Promise<Loose[]> {
  const said: Loose[] = [];
  for (const content of contents) {
    const { status, body } = await rest(url, person.token).post(`/rooms/${room.id}/messages`, { content });
    if (status !== 201) throw new Error(`The message was not taken: ${JSON.stringify(body)}`);
    said.push(body.content);
  }
  return said;
}

/** The position of the room's log: whether something was a change. */
export async function revOf(url: string, person: Person, room: { id: number }): Promise<number> {
  return (await rest(url, person.token).get(`/rooms/${room.id}/messages?limit=1`)).body.meta.rev;
}

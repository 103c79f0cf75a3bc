import { randomUUID } from 'node:crypto';
import type { Json } from './json.ts';
import { admin } from './revocations.ts';

/** A key that no other room has. */
export const newKey = (): string => `test-${randomUUID()}`;

/** Creates a room with a key as the product's backend; throws if that fails. */
export async function putKeyedRoom(url: string, input: object = {}, key = newKey()): Promise<Json> {
  const { status, body } = await admin(url).put(`/admin/rooms/key:${key}`, { name: 'a room', ...input });
  if (status !== 201) throw new Error(`The room was not created: ${JSON.stringify(body)}`);
  return body.content.room;
}

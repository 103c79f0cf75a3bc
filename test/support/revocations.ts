import type { Loose } from './loose.ts';
import { adminToken } from './people.ts';
import { rest } from './rest-client.ts';

export const now = () => Math.floor(Date.now() / 1_000);

/** The product's own backend. */
export const admin = (url: string) => rest(url, adminToken);

/** A revocation that the test takes for granted. */
export async function revoke(url: string, target: object): Promise<Loose> {
  const { status, body } = await admin(url).post('/admin/revocations', target);
  if (status !== 201) throw new Error(`It was not revoked: ${JSON.stringify(body)}`);
  return body.content;
}

export async function lift(url: string, { id }: { id: number }): Promise<void> {
  const { status, body } = await admin(url).delete(`/admin/revocations/${id}`);
  if (status !== 200) throw new Error(`It was not lifted: ${JSON.stringify(body)}`);
}

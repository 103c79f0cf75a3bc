import type { Json } from './json.ts';
import { rest } from './rest-client.ts';
import { adminToken, createUser } from './users.ts';
import { waitUntil } from './wait-until.ts';

export const nowSeconds = () => Math.floor(Date.now() / 1_000);

/** The product's own backend. */
export const admin = (url: string) => rest(url, adminToken);

/** Creates a revocation; throws if that fails. */
export async function revoke(url: string, target: object): Promise<Json> {
  const { status, body } = await admin(url).post('/admin/revocations', target);
  if (status !== 201) throw new Error(`The revocation failed: ${JSON.stringify(body)}`);
  return body.content;
}

export async function liftRevocation(url: string, { id }: { id: number }): Promise<void> {
  const { status, body } = await admin(url).delete(`/admin/revocations/${id}`);
  if (status !== 200) throw new Error(`Lifting the revocation failed: ${JSON.stringify(body)}`);
}

/**
 * Resolves when every node knows all revocations and lifts until now. The nodes learn them in the order of the commits.
 */
export async function waitForRevocations(urls: readonly string[]): Promise<void> {
  if (urls.length === 1) return;
  const fence = createUser();
  await revoke(urls[0]!, { userUUID: fence.user, issued_before: nowSeconds() });
  for (const url of urls) {
    const isRefused = async () => (await rest(url, fence.token).get('/rooms')).status === 401;
    await waitUntil(`${url} knows of a revocation`, isRefused);
  }
}

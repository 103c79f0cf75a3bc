import { dropKey, pageKey } from './page-key.ts';
import type { Person } from './people.ts';
import { call, issuesTokens, ServiceError } from './service.ts';

/** A token is reused until this much of its lifetime is left. */
const spareMs = 5 * 60_000;

const made = new Map<string, { token: string; goodUntil: number }>();

/** A token with the person's current claims, issued by the server, or the pasted token. */
export async function getToken(person: Person): Promise<string> {
  if (!issuesTokens) {
    if (person.token) return person.token;
    throw new ServiceError('NO_TOKEN', `${person.name} needs a token: paste it under People`);
  }
  const claims = toClaims(person);
  const key = JSON.stringify(claims);
  const known = made.get(key);
  if (known && Date.now() < known.goodUntil) return known.token;
  const token = await makeToken(claims);
  const lifeMs = Number(readClaims(token)?.exp ?? 0) * 1_000 - Date.now();
  made.set(key, { token, goodUntil: Date.now() + Math.max(0, lifeMs - spareMs) });
  return token;
}

async function makeToken(claims: object): Promise<string> {
  const key = pageKey();
  if (key === undefined) throw new ServiceError('NO_TOKEN', 'Open the link printed in the terminal');
  try {
    return (await call<{ token: string }>('POST', 'playground/token', key, claims)).content.token;
  } catch (error) {
    // The route does not exist for a wrong key. Several requests may fail like this; only the first reloads the page.
    if (error instanceof ServiceError && error.code === 'NOT_FOUND' && pageKey() !== undefined) {
      dropKey();
      location.reload();
    }
    throw error;
  }
}

function toClaims({ id, organisation, level }: Person) {
  return { userUUID: id, ...(organisation && { entityUUID: organisation }), levelOnEntity: level };
}

/** Reads the claims of a pasted token without verifying it; undefined if it is not a JWT. */
export function readClaims(token: string): Record<string, unknown> | undefined {
  try {
    const part = token.split('.')[1]!.replaceAll('-', '+').replaceAll('_', '/');
    const bytes = Uint8Array.from(atob(part), (letter) => letter.codePointAt(0)!);
    const claims: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof claims === 'object' && claims !== null ? (claims as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

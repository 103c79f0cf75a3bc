import type { Frames } from './frames.ts';
import type { Person } from './people.ts';
import { call, type ServiceError } from './service.ts';
import { getToken } from './tokens.ts';

/** `isSilent` keeps requests that the page makes by itself out of the console. */
export type Rest = <T>(method: string, path: string, body?: unknown, how?: { isSilent?: boolean }) => Promise<T>;

/** REST requests as this person; they appear in the console. */
export function createRest(person: Person, frames: Frames): Rest {
  return async function rest<T>(method: string, path: string, body?: unknown, { isSilent = false } = {}): Promise<T> {
    const token = await getToken(person);
    const log = (direction: 'in' | 'out', name: string, what: unknown) => {
      if (!isSilent) frames.add('REST', person.id, direction, name, what);
    };
    log('out', `${method} /${path}`, body);
    try {
      const { meta, content } = await call<T>(method, path, token, body);
      log('in', `${meta.code} ${method} /${path}`, content);
      return content;
    } catch (error) {
      const { code, message } = error as ServiceError;
      log('in', `${code || 'error'} ${method} /${path}`, message);
      throw error;
    }
  };
}

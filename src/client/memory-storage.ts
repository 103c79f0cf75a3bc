import { createMessageId } from './message.ts';
import { Records, type Storage } from './storage-records.ts';

/** Keeps the records as long as the program runs, for tests and for several clients in one program. */
export class MemoryStorage implements Storage {
  readonly name = createMessageId();
  readonly #users = new Map<string, Records>();

  async open(user: string) {
    return [...this.#getRecords(user).groups.values()].flatMap((records) => [...records.values()]);
  }

  async write(ops: Parameters<Storage['write']>[0], user: string): Promise<void> {
    this.#getRecords(user).apply(ops);
  }

  async clear(user: string): Promise<void> {
    this.#users.delete(user);
  }

  #getRecords(user: string): Records {
    const records = this.#users.get(user) ?? new Records();
    this.#users.set(user, records);
    return records;
  }
}

export const memory = (): Storage => new MemoryStorage();

import type { BasePostgreSqlEntityManager } from '@mikro-orm/postgresql';

export type EntityManager = BasePostgreSqlEntityManager;

/** A named statement. The server parses it only once per connection. */
export interface Statement {
  name: string;
  text: string;
  /** An urgent statement does not wait behind other work. Set it only for statements that every message needs. */
  isUrgent?: boolean;
  /** The statement can add rows to the journal, so the listeners of `onJournalWrite` are called after it. */
  writesJournal?: boolean;
}

/** The access of this process to the database. During an outage, methods throw `UNAVAILABLE`. */
export interface Store {
  /**
   * Runs one statement. An int8 value arrives as a string; cast the value to float8 in the statement to get a number.
   */
  query<Row>(statement: Statement, values: unknown[]): Promise<Row[]>;
  /**
   * Runs a transaction with its own identity map. The task must use only `em` and not call the store: with PGlite, such
   * a call would wait for the end of the transaction, and the transaction for the call.
   */
  transaction<T>(task: (em: EntityManager) => Promise<T>): Promise<T>;
  /** Returns an id of this database. All nodes get the same id, and a copy of the database has another. */
  identify(): Promise<string>;
  /** Throws if the database does not answer, rejects writes, or lacks a migration. */
  check(): Promise<void>;
  /** Whether the database works, as far as this process knows. */
  readonly isUp: boolean;
  /** Whether only this process uses the database. */
  readonly isExclusive: boolean;
  /** The number of statements and transactions that failed because of an outage. */
  readonly failures: number;
  readonly load: Load;
  /**
   * Calls the listener after each commit that can have added rows to the journal: after each transaction, and after each
   * statement with `writesJournal`. Works only with PGlite, where every write comes from this process. Returns a function
   * that removes the listener.
   */
  onJournalWrite(listener: () => void): () => void;
  close(): Promise<void>;
}

/** The number of connections to the database by state, and the amount of work that waits for a connection. */
export interface Load {
  busy: number;
  idle: number;
  max: number;
  waiting: number;
}

import type { BasePostgreSqlEntityManager } from '@mikro-orm/postgresql';

export type EntityManager = BasePostgreSqlEntityManager;

/** The server parses a named statement once per connection. */
export interface Statement {
  name: string;
  text: string;
  /** Runs before all other waiting work. For the statements that every message needs. */
  isUrgent?: boolean;
}

/** The database of one process. Every method throws `UNAVAILABLE` during an outage. */
export interface Store {
  /** Runs one statement. int8 arrives as a string: cast to float8 in the statement to get a number. */
  query<Row>(statement: Statement, values: unknown[]): Promise<Row[]>;
  /** Runs a transaction with its own identity map. The task must not call the store: on PGlite that would deadlock. */
  transaction<T>(task: (em: EntityManager) => Promise<T>): Promise<T>;
  /** An id of this database, the same for all nodes; a copy of the database has another. */
  identify(): Promise<string>;
  /** Throws if the database does not answer, rejects writes, or lacks a migration. */
  check(): Promise<void>;
  /** Whether the database works, as far as is known. */
  readonly isUp: boolean;
  /** The number of statements and transactions that failed because of an outage. */
  readonly failures: number;
  readonly load: Load;
  close(): Promise<void>;
}

/** The connections to the database, and the work that waits for one. */
export interface Load {
  busy: number;
  idle: number;
  max: number;
  waiting: number;
}

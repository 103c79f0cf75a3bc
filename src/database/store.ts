import type { BasePostgreSqlEntityManager } from '@mikro-orm/postgresql';

export type EntityManager = BasePostgreSqlEntityManager;

/** A statement with a name of its own is parsed by the server once per connection. */
export interface Statement {
  name: string;
  text: string;
  /** Goes before whatever else waits for the database: for the statements that every message needs. */
  isUrgent?: boolean;
}

/** The database of one process. Every method throws `UNAVAILABLE` while the database is away. */
export interface Store {
  /** One statement. int8 comes as a string: cast to float8 in the statement where a number is wanted. */
  query<Row>(statement: Statement, values: unknown[]): Promise<Row[]>;
  /** A transaction in an identity map of its own. It must not call the store again: on PGlite that would wait for ever. */
  transaction<T>(task: (em: EntityManager) => Promise<T>): Promise<T>;
  /** The same wherever this very database is reached from; another one for a copy of it on another server. */
  identify(): Promise<string>;
  /** Throws if the database does not answer, takes no writes, or lacks a migration. */
  check(): Promise<void>;
  /** Whether the database does what it is asked for, as far as is known. */
  readonly isUp: boolean;
  /** How often it did not, or could not do it at that time. */
  readonly failures: number;
  readonly load: Load;
  close(): Promise<void>;
}

/** The connections to the database, and what waits for one. */
export interface Load {
  busy: number;
  idle: number;
  max: number;
  waiting: number;
}

/** One session in a database of the service. */
export interface Session {
  query<Row>(text: string, values?: unknown[]): Promise<Row[]>;
}

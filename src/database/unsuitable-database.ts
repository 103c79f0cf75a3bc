/** The database is there, and the service cannot work with it. The message says why, and what to do. */
export class UnsuitableDatabase extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UnsuitableDatabase';
  }
}

/** What ends a move with one line and without a stack: the target has no rows of it. */
export class MoveError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'MoveError';
  }
}

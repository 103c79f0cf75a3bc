import type { MessageList } from './message-list.ts';
import type { ServerEventPayloads } from './wire.ts';

type Position = Pick<ServerEventPayloads['message:new'], 'rev' | 'cursor'>;

/** The client's copy of the end of a room's log: the position in the log, and the latest messages. */
export class Timeline {
  rev: number;
  cursor: string;
  readonly list: MessageList;

  /** `position` must come from the acknowledgement of a join, and the list must begin there. */
  constructor({ rev, cursor }: Position, list: MessageList) {
    this.rev = rev;
    this.cursor = cursor;
    this.list = list;
  }

  /**
   * Advances the position if the change is the next one in the log, whatever its name. Returns `known` for a change that
   * was received before, and for an event that is not a change of the log, which has no `rev`. Returns `gap` if changes
   * are missing before this one.
   */
  advance({ rev, cursor }: Position): 'known' | 'next' | 'gap' {
    if (!(rev > this.rev)) return 'known';
    if (rev !== this.rev + 1) return 'gap';
    this.rev = rev;
    this.cursor = cursor;
    return 'next';
  }
}

import { ChatClientError } from './errors.ts';
import type { Link } from './link.ts';
import type { Message } from './message.ts';
import { type MessageList, maxGrowthFactor } from './message-list.ts';

type Requester = Pick<Link, 'request'>;

export interface PageTarget {
  room_id: number | string;
  thread?: number | undefined;
}

/**
 * Requests the page before the oldest message of the list, and adds it. A page of a filtered history may be empty
 * although older messages exist; then the next page is requested. If `isWanted` returns false, `callback` is not called.
 */
export function requestPage(
  link: Requester,
  list: MessageList,
  { room_id, thread }: PageTarget,
  limit: number,
  callback: (error: ChatClientError | undefined, messages: readonly Message[]) => void,
  isWanted: () => boolean,
): void {
  const { before } = list;
  const filter = thread === undefined ? { top_level: true as const } : { thread };
  const page = { room_id, limit, ...(before !== undefined && { before }), ...filter };
  link.request(
    'message:history',
    page,
    (error, ack) => {
      if (!isWanted()) return;
      const messages = error ? [] : list.prepend(ack);
      const isEmpty = messages.length === 0 && !error && list.hasOlder && list.before !== before;
      if (isEmpty) requestPage(link, list, { room_id, thread }, limit, callback, isWanted);
      else callback(error, messages);
    },
    isWanted,
  );
}

/** Loads the history before a list, one page at a time. Concurrent calls share one request. */
export class OlderPages {
  readonly #connection: { readonly link: Requester | undefined };
  readonly #target: PageTarget;
  #pending: Promise<readonly Message[]> | undefined;

  constructor(connection: { readonly link: Requester | undefined }, target: PageTarget) {
    this.#connection = connection;
    this.#target = target;
  }

  load(limit: number, getList: () => MessageList): Promise<readonly Message[]> {
    this.#pending ??= this.#load(limit, getList).finally(() => {
      this.#pending = undefined;
    });
    return this.#pending;
  }

  async #load(limit: number, getList: () => MessageList): Promise<readonly Message[]> {
    const list = getList();
    if (!list.hasOlder) return [];
    const { link } = this.#connection;
    if (!link) throw new ChatClientError('UNREACHABLE', 'The client is not connected');
    if (list.isFull) throw new ChatClientError('LIMIT', `The room holds ${maxGrowthFactor} times maxMessages`);
    list.startLoading();
    return new Promise<readonly Message[]>((resolve, reject) => {
      requestPage(
        link,
        list,
        this.#target,
        limit,
        // If a reset has replaced the list, the page does not belong to the new list.
        (error, messages) => (error ? reject(error) : resolve(list === getList() ? messages : [])),
        () => true,
      );
    }).finally(() => list.finishLoading());
  }
}

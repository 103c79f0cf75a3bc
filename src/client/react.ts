'use client';

import {
  createContext,
  createElement,
  type ReactElement,
  type ReactNode,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useState,
  useSyncExternalStore,
} from 'react';
import type { Client, ClientOptions, ConnectionState, Outgoing, RoomSnapshot, ThreadSnapshot } from './client.ts';
import { createClient } from './client.ts';
import { type InboxSnapshot, lazyInbox } from './inbox.ts';
import type { Presence, ReadReceipt, Typist } from './wire.ts';

export type ChatProviderProps = { children?: ReactNode } & (
  | { options: ClientOptions; client?: never }
  | { client: Client; options?: never }
);

/** The messages to show: `messages` and below them `outbox`, which together contain each message exactly once. */
export type MessagesView = Pick<RoomSnapshot, 'messages' | 'outbox' | 'hasOlder' | 'hasNewer'>;
export type ThreadView = ThreadSnapshot & { readonly outbox: readonly Outgoing[] };

const ClientContext = createContext<Client | undefined>(undefined);

/**
 * Gives a client to the hooks below it. With `options`, it connects a client when it is mounted, and closes the client
 * when it is unmounted. For another `user` or `url`, it connects another client; the `token` function may be another at
 * each render. A given `client` is not closed.
 */
export function ChatProvider({ options, client, children }: ChatProviderProps): ReactElement {
  return options
    ? createElement(OwnedClientProvider, { options }, children)
    : createElement(ClientContext.Provider, { value: client }, children);
}

/** A client that is connected while it is mounted. Creating it has no effect, because React may discard a render. */
class OwnedClient {
  readonly client: Client;
  options: ClientOptions;
  #closing: ReturnType<typeof setTimeout> | undefined;

  constructor(options: ClientOptions) {
    this.options = options;
    this.client = createClient({ ...options, token: () => this.options.token() });
  }

  isFor({ url, user }: ClientOptions): boolean {
    return url === this.options.url && user === this.options.user;
  }

  mount(): () => void {
    clearTimeout(this.#closing);
    this.client.connect();
    // Later, because the strict mode of React mounts twice.
    return () => {
      this.#closing = setTimeout(() => this.client.close());
    };
  }
}

function OwnedClientProvider({ options, children }: { options: ClientOptions; children?: ReactNode }): ReactElement {
  const [owned, setOwned] = useState(() => new OwnedClient(options));
  const isCurrent = owned.isFor(options);
  if (!isCurrent) setOwned(new OwnedClient(options));
  useEffect(() => {
    if (isCurrent) owned.options = options;
  });
  useEffect(() => {
    if (owned.client.state !== 'closed') return owned.mount();
    // The view was hidden for a while, and is shown again.
    setOwned(new OwnedClient(owned.options));
    return undefined;
  }, [owned]);
  return createElement(ClientContext.Provider, { value: owned.client }, children);
}

/** The client of the provider. `useChat().room(id)` sends, edits and loads; the other hooks return what to show. */
export function useChat(): Client {
  const client = useContext(ClientContext);
  if (!client) throw new Error('The hooks of nano-messaging-client/react need a <ChatProvider> above them');
  return client;
}

/** What the hooks return on the server and while the page is hydrated. */
const initialRoom: RoomSnapshot = Object.freeze({
  ...{ state: 'idle', error: undefined, removalReason: undefined, info: undefined, rights: '' },
  ...{ messages: [], outbox: [], hasOlder: false, hasNewer: false, typing: [], presence: undefined, reads: [] },
} as const);
const initialThread: ThreadSnapshot = Object.freeze({
  ...{ root: undefined, messages: [], hasOlder: false, hasNewer: false, error: undefined },
});
const initialInbox: InboxSnapshot = Object.freeze({
  ...{ state: 'opening', error: undefined, rooms: [], unreadRooms: new Set<number>(), hasMore: false },
} as const);

interface Source<S> {
  readonly snapshot: S;
  on(event: 'change', listener: () => void): () => void;
}

/** Returns whether both are the same, or are arrays or objects of the same parts. */
function isShallowEqual(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || !a || !b) return false;
  const prototype = Object.getPrototypeOf(a);
  if (prototype !== Object.getPrototypeOf(b) || (prototype !== Object.prototype && prototype !== Array.prototype))
    return false;
  const [before, after] = [a as Record<string, unknown>, b as Record<string, unknown>];
  const names = Object.keys(before);
  return names.length === Object.keys(after).length && names.every((name) => Object.is(before[name], after[name]));
}

/** Calls `select` once for each snapshot. An equal selection remains the same object. */
function createSelector<S, T>(select: (snapshot: S) => T, shown: { current: { value: T } | undefined }) {
  let seen: S | undefined;
  let selected: { value: T } | undefined;
  return (snapshot: S): T => {
    if (!selected || snapshot !== seen) {
      const value = select(snapshot);
      const before = selected ?? shown.current;
      selected = before && isShallowEqual(before.value, value) ? before : { value };
      seen = snapshot;
    }
    return selected.value;
  };
}

/** How long a burst of changes waits after a change has been rendered: about one frame. */
const frameMs = 16;

/** Calls `changed` for the first change at once, and for those in the frame after it once. */
function listenPerFrame(listen: (changed: () => void) => () => void, changed: () => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isPending = false;
  const report = () => {
    isPending = false;
    timer = setTimeout(() => {
      timer = undefined;
      if (isPending) report();
    }, frameMs);
    changed();
  };
  const stop = listen(() => {
    if (timer === undefined) report();
    else isPending = true;
  });
  return () => {
    stop();
    clearTimeout(timer);
  };
}

/** Renders only if the selection changes. Nothing is requested before the component is mounted. */
function useSnapshot<R extends Source<S>, S, T>(
  source: R,
  initial: S,
  select: (snapshot: S) => T,
  listen: (source: R, changed: () => void) => () => void = onChange,
): T {
  const shown = useRef<{ value: T } | undefined>(undefined);
  const [getSelection, getInitial] = useMemo(() => {
    const [selectCurrent, selectInitial] = [createSelector(select, shown), createSelector(select, shown)];
    return [() => selectCurrent(source.snapshot), () => selectInitial(initial)];
  }, [source, initial, select]);
  const subscribe = useMemo(
    () => (changed: () => void) => listenPerFrame((report) => listen(source, report), changed),
    [source, listen],
  );
  const value = useSyncExternalStore(subscribe, getSelection, getInitial);
  useEffect(() => {
    shown.current = { value };
  }, [value]);
  return value;
}

const onChange = (source: Source<unknown>, changed: () => void) => source.on('change', changed);
const selectAll = <S>(snapshot: S) => snapshot;

/** All rooms of the user. `inbox(useChat()).loadMore()` loads more of them. */
export function useInbox(): InboxSnapshot;
export function useInbox<T>(select: (inbox: InboxSnapshot) => T): T;
export function useInbox(select: (inbox: InboxSnapshot) => unknown = selectAll): unknown {
  return useSnapshot(lazyInbox(useChat()), initialInbox, select);
}

/** The room with this number, UUID or `key:` and key. It is joined while a component uses it. */
export function useRoom(id: number | string): RoomSnapshot;
export function useRoom<T>(id: number | string, select: (room: RoomSnapshot) => T): T;
export function useRoom(id: number | string, select: (room: RoomSnapshot) => unknown = selectAll): unknown {
  return useSnapshot(useChat().room(id), initialRoom, select);
}

const selectMessages = ({ messages, hasOlder, hasNewer }: RoomSnapshot) => ({ messages, hasOlder, hasNewer });

/** The messages of the room that are not in a thread. */
export function useMessages(id: number | string): MessagesView {
  const view = useRoom(id, selectMessages);
  const outbox = useOutbox(id, undefined);
  return useMemo(() => ({ ...view, outbox }), [view, outbox]);
}

/** The replies to the message with this `seq`. `root` is undefined until it is loaded. */
export function useThread(id: number | string, seq: number): ThreadView {
  const view = useSnapshot(useChat().room(id).thread(seq), initialThread, selectAll<ThreadSnapshot>);
  const outbox = useOutbox(id, seq);
  return useMemo(() => ({ ...view, outbox }), [view, outbox]);
}

const useOutbox = (id: number | string, thread: number | undefined) =>
  useRoom(id, ({ outbox }) => outbox.filter(({ options }) => options.thread === thread));

/** The others who are typing in the room, or in this thread of the room. */
export function useTyping(id: number | string, thread?: number): readonly Typist[] {
  return useRoom(id, ({ typing }) => typing.filter((typist) => typist.thread === thread));
}

/** The users in the room. Null if the service has no presence, undefined until the service has answered. */
export function usePresence(id: number | string): Presence | null | undefined {
  return useSnapshot(useChat().room(id), initialRoom, selectPresence, onPresence);
}

/** How far users have read: yourself and, in a room with `receipts`, the others. */
export function useReads(id: number | string): readonly ReadReceipt[] {
  return useSnapshot(useChat().room(id), initialRoom, selectReads, onReads);
}

const selectPresence = ({ presence }: RoomSnapshot) => presence;
const selectReads = ({ reads }: RoomSnapshot) => reads;

/** A room asks the service for these only if something listens to them. */
const onPresence = listenTo('presence');
const onReads = listenTo('reads');

function listenTo(event: 'presence' | 'reads') {
  return (room: ReturnType<Client['room']>, changed: () => void) => {
    const stops = [room.on(event, changed), room.on('change', changed)];
    return () => {
      for (const stop of stops) stop();
    };
  };
}

export function useConnection(): ConnectionState {
  const client = useChat();
  const subscribe = useMemo(() => (changed: () => void) => client.on('state', changed), [client]);
  return useSyncExternalStore(
    subscribe,
    () => client.state,
    () => 'connecting',
  );
}

import type { Client } from './api.ts';
import type { Inbox } from './api-inbox.ts';
import { ClientInbox, defaultLimit } from './client-inbox.ts';
import type { ClientHost } from './host.ts';

export type { Inbox, InboxEvents, InboxSnapshot } from './api-inbox.ts';
export type { InboxItem } from './wire.ts';

const inboxes = new WeakMap<Client, Inbox>();

/**
 * Opens the inbox of the client's user, now and after every reconnect. A client has one inbox, so this returns the same
 * object until it is closed. `limit` is the number of rooms that it opens with.
 */
export function inbox(client: Client, options?: { limit?: number }): Inbox {
  const found = lazyInbox(client, options) as ClientInbox;
  found.open();
  return found;
}

/** The inbox of the client's user, which the first listener opens. */
export function lazyInbox(client: Client, { limit = defaultLimit }: { limit?: number } = {}): Inbox {
  const known = inboxes.get(client);
  if (known && (known.state !== 'closed' || client.state === 'closed')) return known;
  const created = new ClientInbox(client as unknown as ClientHost, limit);
  inboxes.set(client, created);
  return created;
}

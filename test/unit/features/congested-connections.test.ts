import { expect } from 'chai';
import { type EphemeralBroadcaster, noEphemeralBus } from '../../../src/core/ephemeral.ts';
import type { FeedRegistry } from '../../../src/core/feed/feed-registry.ts';
import type { Subscriber } from '../../../src/core/feed/subscriber.ts';
import { PresenceService } from '../../../src/features/presence/presence.ts';
import { Typing } from '../../../src/features/typing/typing.ts';
import { closeLater } from '../../helpers/cleanup.ts';
import { waitUntil } from '../../helpers/wait-until.ts';

const room = 7;
const user = '00000000-0000-4000-8000-000000000001';
const events = { emitted: () => {}, published: () => {} };

/** A room with one connection, which receives events unless it is congested. */
function stage() {
  const subscriber = { actor: { user } } as Subscriber;
  const subscribers = new Set([subscriber]);
  const feed = { subscribers, getRights: () => 'rw' };
  const feeds = () => ({ find: () => feed }) as unknown as Pick<FeedRegistry, 'find'>;
  const connection = { isCongested: false, received: [] as number[], dropped: 0 };
  const broadcaster: EphemeralBroadcaster = {
    publishEphemeral({ payload }) {
      if (connection.isCongested) connection.dropped += 1;
      else connection.received.push((payload as { count: number }).count);
      return connection.isCongested;
    },
    hasFollowers: () => true,
  };
  const collaborators = { bus: noEphemeralBus, broadcasters: [broadcaster], feeds, events };
  return { subscriber, subscribers, connection, collaborators };
}

describe('ephemeral events that a congested connection misses', () => {
  it('are followed by the presence of the room when it is congested no longer', async () => {
    const { subscriber, subscribers, connection, collaborators } = stage();
    const presence = new PresenceService({ ...collaborators, timeouts: { eventMs: 5, graceMs: 1 } });
    closeLater(() => presence.close());
    presence.watch(room);
    presence.observer.onJoined(room, subscriber);
    await waitUntil('the user is shown', () => connection.received.at(-1) === 1);
    connection.isCongested = true;
    subscribers.clear();
    presence.observer.onLeft(room, subscriber, 'removed');
    await waitUntil('the event is dropped', () => connection.dropped > 0);
    connection.isCongested = false;
    await waitUntil('the user is gone', () => connection.received.at(-1) === 0);
    expect(connection.received).to.deep.equal([1, 0]);
  });

  it('are followed by who is typing, however long it was congested', async () => {
    const { subscriber, connection, collaborators } = stage();
    const typing = new Typing({ ...collaborators, timeouts: { eventMs: 1, resendMs: 5 } });
    closeLater(() => typing.close());
    typing.start(room, subscriber, undefined);
    await waitUntil('the user is shown', () => connection.received.includes(1));
    connection.isCongested = true;
    typing.stop(room, subscriber);
    await waitUntil('many events are dropped', () => connection.dropped > 8);
    connection.isCongested = false;
    await waitUntil('the user is gone', () => connection.received.at(-1) === 0);
  });
});

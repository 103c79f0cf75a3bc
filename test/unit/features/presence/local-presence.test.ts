import { mock } from 'node:test';
import { expect } from 'chai';
import type { Subscriber } from '../../../../src/core/feed/subscriber.ts';
import { LocalPresence } from '../../../../src/features/presence/local-presence.ts';
import { useFakeClock } from '../../../helpers/fake-clock.ts';

const room = 1;

function createSubscriber(n: number): Subscriber {
  const user = `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
  const actor = { user, entity: null, level: 0, mayCreateRooms: false };
  return { actor, deliver() {}, deliverEvent() {}, goLive() {}, remove() {}, reconnect() {} };
}

describe('LocalPresence', () => {
  it('ends the presence of hundreds of users who lost their connections together over several ticks', () => {
    const advance = useFakeClock();
    try {
      const presence = new LocalPresence({ findFeed: () => undefined, graceMs: 1_000, onUsersChange() {} });
      for (let n = 0; n < 500; n++) presence.onLeft(room, createSubscriber(n), 'left');
      advance(999);
      expect(presence.list(room).size).to.equal(500);
      const sizes: number[] = [];
      for (let ticks = 0; ticks < 4; ticks++) {
        advance(1);
        sizes.push(presence.list(room).size);
      }
      expect(sizes).to.deep.equal([300, 100, 0, 0]);
      expect(presence.needsFeed(room)).to.equal(false);
      presence.close();
    } finally {
      mock.reset();
    }
  });
});

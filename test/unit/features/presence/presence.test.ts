import { expect } from 'chai';
import type { Actor } from '../../../../src/core/authorization.ts';
import { type EphemeralEvent, noEphemeralBus } from '../../../../src/core/ephemeral.ts';
import { PresenceService } from '../../../../src/features/presence/presence.ts';
import { onFakeClock } from '../../../helpers/fake-clock.ts';

const room = 7;
const [ana, ben] = ['00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002'] as const;

describe('PresenceService', () => {
  it('sends later sets to a follower whose join took longer than an unfollowed room is watched', async () => {
    await onFakeClock(async () => {
      const sent: EphemeralEvent[] = [];
      const subscribers: { actor: { user: string } }[] = [{ actor: { user: ana } }];
      let hasFollowers = false;
      const service = new PresenceService({
        bus: noEphemeralBus,
        broadcasters: [{ publishEphemeral: (event) => sent.push(event) < 0, hasFollowers: () => hasFollowers }],
        feeds: () => ({ find: () => ({ subscribers }) as never }),
        events: { emitted() {}, published() {} },
        timeouts: { keepMs: 20, eventMs: 5 },
      });
      service.watch(room);
      await new Promise((resolve) => setTimeout(resolve, 100));
      const set = service.readForFollower(room, { user: ana } as Actor);
      expect(set.users).to.deep.equal([ana]);
      hasFollowers = true;
      subscribers.push({ actor: { user: ben } });
      service.observer.onJoined(room, { actor: { user: ben } } as never);
      await new Promise((resolve) => setTimeout(resolve, 10));
      expect(sent.map(({ payload }) => payload)).to.deep.equal([
        { room_id: room, count: 2, users: [ana, ben], partial: true },
      ]);
      service.close();
    });
  });
});

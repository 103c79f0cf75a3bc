import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { type Pingable, Pings } from '../../../../src/transports/chat/pings.ts';

interface Peer extends Pingable {
  pings: number;
  hasEnded: boolean;
}

function createPeer(onPing: () => void = () => {}): Peer {
  return {
    ...{ pings: 0, hasEnded: false, OPEN: 1, readyState: 1 },
    ping() {
      this.pings += 1;
      onPing();
    },
    terminate() {
      this.hasEnded = true;
    },
  };
}

describe('the pings of /chat', () => {
  let pings: Pings;
  afterEach(() => pings.stop());

  it('are spread over several ticks if a thousand connections began together', async () => {
    let inThisTick = 0;
    let mostInOneTick = 0;
    const tick = setInterval(() => {
      inThisTick = 0;
    }, 1);
    pings = new Pings(300);
    const peers = Array.from({ length: 1_000 }, () =>
      createPeer(() => {
        inThisTick += 1;
        mostInOneTick = Math.max(mostInOneTick, inThisTick);
      }),
    );
    for (const peer of peers) pings.add(peer);
    while (peers.some((peer) => peer.pings === 0)) await sleep(10);
    clearInterval(tick);
    expect(mostInOneTick).to.be.within(1, 400);
  });

  it('end a connection that has not answered the previous ping, and no other', async () => {
    pings = new Pings(20);
    const silent = createPeer();
    const alive: Peer = createPeer(() => pings.receivePong(alive));
    pings.add(silent);
    pings.add(alive);
    while (!silent.hasEnded) await sleep(5);
    expect(alive.hasEnded).to.equal(false);
  });
});

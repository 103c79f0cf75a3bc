import { setImmediate as endOfTick } from 'node:timers/promises';
import { expect } from 'chai';
import { BoundedWebSocketServer } from '../../src/patches/ws-bounded-server.ts';
import { maxHandshakesPerTick } from '../../src/transports/handshake-queue.ts';
import { closeLater } from '../helpers/cleanup.ts';
import { describeOneWiring } from '../helpers/node.ts';
import { answerOn, connectTo, toUpgrade } from '../helpers/upgrade-request.ts';

describeOneWiring('many handshakes at the same time', ({ url }) => {
  for (const [path, firstFrame] of [
    ['/chat', 'START?'],
    ['/socket.io/?EIO=4&transport=websocket', '"sid":'],
  ] as const) {
    it(`begin on ${path.split('?')[0]} a few per tick, and do not fail because some clients reset theirs`, async () => {
      const { handleUpgrade } = BoundedWebSocketServer.prototype;
      const counts = [0];
      let nextTick: NodeJS.Immediate;
      const countTick = () => {
        counts.push(0);
        nextTick = setImmediate(countTick);
      };
      countTick();
      closeLater(() => {
        clearImmediate(nextTick);
        BoundedWebSocketServer.prototype.handleUpgrade = handleUpgrade;
      });
      const onFirst = Promise.withResolvers<void>();
      BoundedWebSocketServer.prototype.handleUpgrade = function (...upgrade) {
        counts[counts.length - 1]! += 1;
        onFirst.resolve();
        return handleUpgrade.apply(this, upgrade);
      };
      const sockets = await Promise.all(Array.from({ length: 5 * maxHandshakesPerTick }, () => connectTo(url())));
      // Node.js accepts one connection per tick.
      for (let n = 0; n < 2 * sockets.length; n++) await endOfTick();
      for (const socket of sockets) socket.write(toUpgrade(path));
      const reset = sockets.splice(-maxHandshakesPerTick);
      await onFirst.promise;
      for (const socket of reset) socket.resetAndDestroy();
      for (const socket of sockets) expect(await answerOn(socket, firstFrame)).to.match(/^HTTP\/1\.1 101 /);
      expect(Math.max(...counts)).to.be.at.most(maxHandshakesPerTick);
      for (const socket of sockets) socket.destroy();
    });
  }
});

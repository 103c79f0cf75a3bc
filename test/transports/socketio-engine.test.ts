import { once } from 'node:events';
import { expect } from 'chai';
import WebSocket from 'ws';
import { closeLater } from '../helpers/cleanup.ts';
import { describeOneWiring } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';

describeOneWiring('invalid Socket.IO packets', ({ url }) => {
  const frames = [
    '',
    '4',
    '40',
    '42',
    '40/rooms',
    '40/rooms,',
    '42/rooms,1',
    '45',
    '4\0',
    '1',
    '2',
    '3',
    '5',
    '6',
    '9',
    '{}',
  ];
  for (const frame of [...frames, Buffer.from([4]), Buffer.alloc(0)]) {
    it(`disconnects at most the sender of ${JSON.stringify(frame)}`, async () => {
      const socket = new WebSocket(`${url().replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`);
      closeLater(() => socket.terminate());
      socket.on('error', () => {}); // A 'close' event follows.
      await once(socket, 'message');
      const closed = new Promise((resolve) => socket.once('close', resolve));
      socket.send(frame);
      socket.close();
      await closed;
      expect((await rest(url()).get('/healthz')).status).to.equal(200);
    });
  }
});

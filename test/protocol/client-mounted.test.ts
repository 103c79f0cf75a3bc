import { createServer, request } from 'node:http';
import { type AddressInfo, connect as dial } from 'node:net';
import { expect } from 'chai';
import { closeLater } from '../support/cleanup.ts';
import { clientOf } from '../support/client.ts';
import { describeOneWiring } from '../support/node.ts';
import { ownRoom } from '../support/rooms.ts';

/** What a balancer does that has the service below `/messaging/`, and nothing elsewhere. */
async function mounted(url: string): Promise<string> {
  const { port } = new URL(url);
  const below = (path = '') => /^\/messaging(\/.*)$/.exec(path)?.[1];
  const balancer = createServer((incoming, response) => {
    const path = below(incoming.url);
    if (!path) return void response.writeHead(404).end();
    const { method, headers } = incoming;
    const onward = request({ port, path, method, headers }, (answer) => {
      response.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    incoming.pipe(onward);
  });
  balancer.on('upgrade', (incoming, socket) => {
    const upstream = dial(Number(port), '127.0.0.1');
    const headers = incoming.rawHeaders.flatMap((name, n, all) => (n % 2 === 0 ? `${name}: ${all[n + 1]}\r\n` : []));
    upstream.write(`GET ${below(incoming.url)} HTTP/1.1\r\n${headers.join('')}\r\n`);
    for (const [one, other] of [
      [socket, upstream],
      [upstream, socket],
    ] as const) {
      one.on('error', () => other.destroy());
      one.pipe(other);
    }
  });
  await new Promise<void>((resolve) => balancer.listen(0, '127.0.0.1', resolve));
  closeLater(() => {
    balancer.closeAllConnections();
    balancer.close();
  });
  return `http://127.0.0.1:${(balancer.address() as AddressInfo).port}/messaging`;
}

describeOneWiring('the client of a service below a path', ({ url }) => {
  for (const transports of [['websocket'], ['polling'], undefined] as const) {
    it(`connects with ${transports ?? 'the transports that it has by itself'}`, async () => {
      const { owner, room } = await ownRoom(url());
      const client = clientOf(await mounted(url()), owner, transports && { transports: [...transports] });
      expect(await client.room(room.id).send('below').done).to.include({ seq: 1 });
    });
  }
});

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net';
import { expect } from 'chai';
import { adoptSocket, prepareHandover } from '../../../src/patches/net-socket-handover.ts';
import { closeLater } from '../../helpers/cleanup.ts';

/** Connects to the server and returns both ends. */
async function connectTo(server: ReturnType<typeof createTcpServer>): Promise<[client: Socket, accepted: Socket]> {
  server.listen(0, '127.0.0.1');
  closeLater(() => void server.close());
  await once(server, 'listening');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  closeLater(() => client.destroy());
  const [accepted] = (await once(server, 'connection')) as [Socket];
  return [client, accepted];
}

const count = (server: { getConnections(callback: (error: unknown, count: number) => void): unknown }) =>
  new Promise<number>((resolve) => server.getConnections((_error, connections) => resolve(connections)));

describe('A socket that is passed to another process', () => {
  it('loses no bytes that arrive on the way, and is no longer a connection of the server that accepted it', async () => {
    const server = createTcpServer();
    const [client, accepted] = await connectTo(server);
    accepted.on('data', () => {});
    // Reads the socket only after it has been told to.
    const child = fork(
      '--eval',
      [`process.on('message', (_, socket) => socket.on('data', (data) => process.send(String(data))))`],
      { execArgv: [] },
    );
    closeLater(() => void child.kill('SIGKILL'));
    prepareHandover(accepted);
    client.write('sent on the way');
    // The bytes arrive while the socket is still in this process.
    await new Promise((resolve) => setTimeout(resolve, 50));
    child.send('take', accepted);
    const [received] = await once(child, 'message');
    expect(received).to.equal('sent on the way');
    accepted.destroy();
    await once(accepted, 'close');
    expect(await count(server)).to.equal(0);
  });

  it('is a connection of the server that adopts it, until it closes, and its request is answered', async () => {
    const [client, accepted] = await connectTo(createTcpServer());
    const adopter = createServer((request, response) => response.end(`hello ${request.url}`));
    adoptSocket(adopter, accepted, Buffer.from('GET /there HTTP/1.1\r\nHost: x\r\n\r\n'));
    expect(await count(adopter)).to.equal(1);
    expect(String((await once(client, 'data'))[0])).to.contain('hello /there');
    client.end();
    await once(accepted, 'close');
    expect(await count(adopter)).to.equal(0);
  });
});

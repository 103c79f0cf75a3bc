import { expect } from 'chai';
import { startNode, wirings } from '../helpers/node.ts';
import { freshDatabase } from '../helpers/postgres.ts';
import { rest } from '../helpers/rest-client.ts';
import { createRoom, sendMessages } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { type TcpProxy, tcpProxy } from '../helpers/tcp-proxy.ts';
import { createUser } from '../helpers/users.ts';

const postgres = wirings.find(({ name }) => name === 'PostgreSQL')!;

async function nodeBehindProxy(): Promise<{ url: string; proxy: TcpProxy }> {
  const database = new URL(await freshDatabase());
  const proxy = await tcpProxy(database.hostname, Number(database.port));
  database.hostname = '127.0.0.1';
  database.port = String(proxy.port);
  const { url } = await startNode(postgres, { DATABASE_URL: database.href, SWEEP_SECONDS: 1 });
  return { url, proxy };
}

describe('During an outage of PostgreSQL', () => {
  it('refuses a send with UNAVAILABLE during an outage of PostgreSQL, and stores it once afterwards', async () => {
    const { url, proxy } = await nodeBehindProxy();
    const owner = createUser({ level: 100 });
    const room = await createRoom(url, owner);
    const socket = await socketClient(url, owner);
    await socket.request('room:join', { room_id: room.id });

    proxy.cut();
    const draft = { room_id: room.id, content: 'through the storm', client_msg_id: 'once' };
    const refused = await socket.request('message:send', draft);
    expect(refused).to.nested.include({ ok: false, 'error.code': 'UNAVAILABLE' });
    expect((await rest(url, owner.token).get('/rooms')).body.meta).to.include({ code: 503, reason: 'UNAVAILABLE' });
    expect((await rest(url).get('/readyz')).status).to.equal(503);
    expect((await rest(url).get('/healthz')).status).to.equal(200);

    proxy.restore();
    const sent = await socket.request('message:send', draft);
    expect(sent).to.nested.include({ ok: true, duplicate: false, 'message.seq': 1 });
    expect(await socket.next('message:new')).to.include({ seq: 1, content: 'through the storm' });
    expect((await rest(url).get('/readyz')).status).to.equal(200);
  });

  it('delivers a message once if its commit answer is lost, and treats its retry as a duplicate', async () => {
    const { url, proxy } = await nodeBehindProxy();
    const owner = createUser({ level: 100 });
    const room = await createRoom(url, owner);
    const socket = await socketClient(url, owner);
    await socket.request('room:join', { room_id: room.id });
    await sendMessages(url, owner, room, 'first');

    proxy.loseNextResponse();
    const draft = { room_id: room.id, content: 'was I stored?', client_msg_id: 'unknown' };
    const first = await socket.request('message:send', draft);
    const again = first.ok ? first : await socket.request('message:send', draft);
    await sendMessages(url, owner, room, 'fence');

    const received = [];
    for (let n = 0; n < 3; n++) received.push(await socket.next('message:new'));
    expect(received.map(({ seq, content }) => `${seq} ${content}`)).to.deep.equal([
      '1 first',
      '2 was I stored?',
      '3 fence',
    ]);
    expect(again).to.nested.include({ ok: true, 'message.seq': 2 });
    const { body } = await rest(url, owner.token).get(`/rooms/${room.id}/messages`);
    expect(body.content.map(({ content }: { content: string }) => content)).to.have.lengthOf(3);
  });
});

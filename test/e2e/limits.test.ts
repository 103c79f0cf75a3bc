import { expect } from 'chai';
import { authenticatedChat, type ChatClient, chatClient, chatInRoom } from '../helpers/chat-client.ts';
import { readMetrics } from '../helpers/metrics.ts';
import { describeOneWiring } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { expectConnectError, type SocketClient, socketClient } from '../helpers/socket-client.ts';
import { createUser, type TestUser } from '../helpers/users.ts';

describeOneWiring('limits', ({ url, startNode }) => {
  async function inRoom(at = url()) {
    const owner = createUser({ level: 100 });
    const api = rest(at, owner.token);
    const room_id: number = (await api.post('/rooms', { name: 'limits' })).body.content.room.id;
    const [socket, chat] = [await socketClient(at, owner), await chatInRoom(at, owner, room_id)];
    expect(await socket.request('room:join', { room_id })).to.include({ ok: true });
    return { owner, api, room_id, messages: `/rooms/${room_id}/messages`, socket, chat };
  }

  /** The refusals of one message on the three transports, which must be equal. */
  async function refusalsOf(
    content: string,
    { api, messages, socket, chat, room_id }: Awaited<ReturnType<typeof inRoom>>,
  ) {
    const { error } = await socket.request('message:send', { room_id, content });
    chat.send({ type: 'message', content });
    return { socket: error, chat: await chat.next(), rest: await api.post(messages, { content }) };
  }

  it('accepts content of 8 KiB of UTF-8 and rejects one byte more with TOO_LARGE and the field', async () => {
    const there = await inRoom();
    const most = 'ñ'.repeat(4_096);
    expect(await there.socket.request('message:send', { room_id: there.room_id, content: most })).to.include({
      ok: true,
    });
    expect(await there.chat.next()).to.nested.include({ 'data.content': most });
    const refused = await refusalsOf(`${most}x`, there);
    expect(refused.socket).to.include({ code: 'TOO_LARGE', field: 'content' });
    expect(refused.chat).to.include({ type: 'status', data: 'ERROR', reason: 'TOO_LARGE' });
    expect(refused.chat.detail).to.match(/^content: /);
    expect(refused.rest.status).to.equal(413);
    expect(refused.rest.body.meta).to.include({ code: 413, reason: 'TOO_LARGE' });
  });

  it('closes a connection that sends a frame of more than 64 KiB', async () => {
    const { room_id, socket, chat } = await inRoom();
    chat.send({ type: 'message', content: 'x'.repeat(65_000) });
    expect(await chat.next()).to.include({ reason: 'TOO_LARGE' });
    const { error } = await socket.request('message:send', { room_id, content: 'x'.repeat(65_000) });
    expect(error).to.include({ code: 'TOO_LARGE' });
    chat.send({ type: 'message', content: 'x'.repeat(65_537) });
    expect(await chat.closed).to.equal(1009);
    socket.raw.emit('message:send', { room_id, content: 'x'.repeat(65_537) });
    expect(await socket.closed).to.be.oneOf(['transport close', 'transport error']);
  });

  it('limits the rooms of a Socket.IO connection with TOO_MANY_ROOMS, whatever it joins again or leaves', async () => {
    const node = await startNode({ MAX_ROOMS_PER_CONNECTION: 2 });
    const owner = createUser({ level: 100 });
    const ids: number[] = [];
    for (const name of ['one', 'two', 'three']) {
      ids.push((await rest(node.url, owner.token).post('/rooms', { name })).body.content.room.id);
    }
    const socket = await socketClient(node.url, owner);
    const join = (n: number) => socket.request('room:join', { room_id: ids[n] });
    for (const n of [0, 1, 0, 1]) expect(await join(n)).to.include({ ok: true });
    expect(await join(2)).to.nested.include({ ok: false, 'error.code': 'TOO_MANY_ROOMS' });
    await socket.request('room:leave', { room_id: ids[0] });
    expect(await join(2)).to.include({ ok: true });
    const other = await socketClient(node.url, owner);
    expect(await other.request('room:join', { room_id: ids[0] })).to.include({ ok: true });
  });

  it('limits the send rate of a user over all transports with RATE_LIMITED and the time to wait, and not that of others', async () => {
    // All requests have to come within one window, which has as many seconds as messages.
    const [each, most] = [10, 30];
    const node = await startNode({ SEND_RATE: 1, SEND_BURST: most });
    const there = await inRoom(node.url);
    const { socket, chat, room_id, api, messages } = there;
    for (let n = 0; n < each; n++) {
      expect(await socket.request('message:send', { room_id, content: `${n} one` })).to.include({ ok: true });
      expect((await api.post(messages, { content: `${n} two` })).status).to.equal(201);
      chat.send({ type: 'message', content: `${n} three` });
      for (const word of ['one', 'two', 'three'])
        expect(await chat.next()).to.nested.include({ 'data.content': `${n} ${word}` });
    }
    const refused = await refusalsOf('one more', there);
    expect(refused.socket).to.include({ code: 'RATE_LIMITED' });
    expect(refused.socket.retry_after_ms).to.be.within(1, most * 1_000);
    expect(refused.chat).to.include({ data: 'ERROR', reason: 'RATE_LIMITED' });
    expect(refused.chat.retry_after_ms).to.be.within(1, most * 1_000);
    expect(refused.rest.status).to.equal(429);
    expect(refused.rest.body.meta.reason).to.equal('RATE_LIMITED');
    const other = createUser();
    await api.put(`/rooms/${room_id}/members`, { userUUID: other.user, permissions: 'rw' });
    const free = await socketClient(node.url, other);
    expect(await free.request('message:send', { room_id, content: 'five' })).to.include({ ok: true });
  });

  /** Stops reading what the server sends; returns how to go on. */
  function stopReading(client: SocketClient | ChatClient): () => void {
    const socket =
      'raw' in client ? (client.raw.io.engine.transport as never as { ws: ChatClient['socket'] }).ws : client.socket;
    socket.pause();
    return () => socket.resume();
  }

  it('closes a client that does not read, while the others receive everything', async () => {
    const settings = { MAX_SEND_BUFFER_BYTES: 300_000, MAX_CONTENT_BYTES: 60_000 };
    const { url: at } = await startNode(settings);
    const { owner, room_id, socket, chat } = await inRoom(at);
    const lazyChat = await chatInRoom(at, owner, room_id);
    const lazySocket = await socketClient(at, owner, { transports: ['websocket'] });
    await lazySocket.request('room:join', { room_id });
    const goOn = [stopReading(lazyChat), stopReading(lazySocket)];
    // More than the kernel buffers for a connection that is not read.
    const count = 300;
    const content = 'x'.repeat(59_000);
    for (let n = 0; n < count; n++) await socket.request('message:send', { room_id, content });
    for (let n = 1; n <= count; n++) expect((await chat.next()).data.seq).to.equal(n);
    for (let n = 1; n <= count; n++) expect((await socket.next('message:new')).seq).to.equal(n);
    for (const resume of goOn) resume();
    // It started to read after the connection was closed, or in time.
    expect(await lazyChat.closed).to.be.oneOf([1006, 4408]);
    expect(await lazySocket.closed).to.equal('transport close');
    const metrics = await readMetrics(at);
    for (const transport of ['chat', 'socketio']) {
      expect(metrics.get(`nano_messaging_slow_consumers_closed_total{transport="${transport}"}`), transport).to.equal(
        1,
      );
    }
  });

  it('limits a user to 20 connections over both transports and rejects the newest', async () => {
    const node = await startNode({ MAX_CONNECTIONS_PER_USER: undefined });
    const person = createUser();
    const open: (SocketClient | ChatClient)[] = [];
    for (let n = 0; n < 10; n++) {
      open.push(await authenticatedChat(node.url, person), await socketClient(node.url, person));
    }
    expect((await expectConnectError(node.url, { token: person.token })).data.code).to.equal('TOO_MANY_CONNECTIONS');
    const chat = await chatClient(node.url);
    chat.send({ type: 'token', content: person.token });
    expect(await chat.next()).to.include({ data: 'START?' });
    expect(await chat.next()).to.include({ type: 'status', data: 'ERROR', reason: 'TOO_MANY_CONNECTIONS' });
    expect(await chat.closed).to.equal(4429);
    await authenticatedChat(node.url, createUser());
    open[0]!.close();
    await admitted(node.url, person);
    for (const client of open.slice(1))
      expect('raw' in client ? client.raw.connected : client.socket.readyState).to.be.oneOf([true, 1]);
  });

  /** The server notices a closed connection slightly after the client. */
  async function admitted(at: string, person: TestUser): Promise<void> {
    for (;;) {
      const chat = await chatClient(at);
      chat.send({ type: 'token', content: person.token });
      await chat.next();
      if ((await chat.next()).data === 'READY') return;
    }
  }

  it('closes the oldest connection without a token at the limit, and none with a token', async () => {
    const node = await startNode({ MAX_UNAUTHENTICATED_CONNECTIONS: 3 });
    const member = await authenticatedChat(node.url, createUser());
    const first = await chatClient(node.url);
    const others = [await chatClient(node.url), await chatClient(node.url)];
    const newest = await chatClient(node.url);
    expect(await newest.next()).to.include({ data: 'START?' });
    await first.closed;
    await socketClient(node.url, createUser());
    await others[0]!.closed;
    for (const chat of [member, others[1]!, newest]) {
      chat.send({ type: 'token', content: createUser().token });
      expect(await chat.skipTo(({ data }) => data !== 'START?')).to.have.property('type');
    }
  });

  it('disables limits of 0', async () => {
    const names = ['MAX_CONTENT_BYTES', 'MAX_FRAME_BYTES', 'MAX_ROOMS_PER_CONNECTION', 'MAX_CONNECTIONS_PER_USER'];
    const more = ['MAX_UNAUTHENTICATED_CONNECTIONS', 'MAX_SEND_BUFFER_BYTES', 'MAX_RULES_PER_ROOM', 'SEND_RATE'];
    const settings = Object.fromEntries([...names, ...more].map((name) => [name, 0]));
    const { api, messages, room_id, socket, chat } = await inRoom((await startNode(settings)).url);
    const content = 'x'.repeat(100_000);
    expect(await socket.request('message:send', { room_id, content })).to.include({ ok: true });
    chat.send({ type: 'message', content });
    for (const seq of [1, 2]) expect((await chat.next()).data).to.include({ seq, content });
    expect((await api.post(messages, { content })).status).to.equal(201);
  });
});

import { expect } from 'chai';
import { authenticatedChat, chatClient } from '../helpers/chat-client.ts';
import { closeLater } from '../helpers/cleanup.ts';
import { describeOneWiring } from '../helpers/node.ts';
import { frame, opcodes, RawWebSocket } from '../helpers/raw-web-socket.ts';
import { rest } from '../helpers/rest-client.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { createUser } from '../helpers/users.ts';

const engine = '/socket.io/?EIO=4&transport=websocket';

describeOneWiring('receive limits of a connection', ({ url, startNode }) => {
  async function open(path: string, at = url()): Promise<RawWebSocket> {
    const raw = await RawWebSocket.open(at, path);
    closeLater(() => raw.destroy());
    return raw;
  }

  async function ownRoom(at = url()) {
    const owner = createUser({ level: 100 });
    const { room } = (await rest(at, owner.token).post('/rooms', { name: 'limits' })).body.content;
    return { owner, room_id: room.id as number };
  }

  const join = (token: string) => `40/rooms,${JSON.stringify({ token })}`;
  const paths = { '/chat': '/chat', 'Socket.IO': engine };
  /** A size that is rejected without an answer. On Socket.IO, a packet that is only slightly too large gets an answer. */
  const tooLarge = { '/chat': 4_097, 'Socket.IO': 8_193 };

  for (const [name, path] of Object.entries(paths)) {
    const length = tooLarge[name as keyof typeof tooLarge];

    it(`rejects a frame by its announced size before a token, on ${name}`, async () => {
      const raw = await open(path);
      raw.send(frame(opcodes.text, '', { length }));
      await raw.waitForClose();
      expect(raw.closeCode).to.equal(1009);
    });

    it(`applies the same limit before a token with MAX_FRAME_BYTES=0, on ${name}`, async () => {
      const raw = await open(path, (await startNode({ MAX_FRAME_BYTES: 0 })).url);
      raw.send(frame(opcodes.text, '', { length }));
      await raw.waitForClose();
      expect(raw.closeCode).to.equal(1009);
    });

    it(`accepts only few fragments before a token, on ${name}`, async () => {
      const raw = await open(path);
      raw.send(frame(opcodes.text, 'x', { fin: false }));
      for (let n = 0; n < 100; n++) raw.send(frame(opcodes.continuation, 'x', { fin: false }));
      await raw.waitForClose();
      expect(raw.closeCode).to.equal(1008);
    });

    it(`accepts only few unsolicited pongs a second, on ${name}`, async () => {
      const raw = await open(path);
      for (let n = 0; n < 200; n++) raw.send(frame(opcodes.pong));
      await raw.waitForClose();
    });
  }

  it('accepts frames in fragments of 1,000 bytes after a token, on both transports', async () => {
    const { owner, room_id } = await ownRoom();
    const pieces = (text: string) => {
      const parts = text.match(/.{1,1000}/g)!;
      return Buffer.concat(
        parts.map((part, n) =>
          frame(n === 0 ? opcodes.text : opcodes.continuation, part, { fin: n === parts.length - 1 }),
        ),
      );
    };
    const padding = 'p'.repeat(60_000);
    const chat = await open('/chat');
    chat.text(JSON.stringify({ type: 'token', content: owner.token }));
    chat.text(JSON.stringify({ type: 'select_room', room_id }));
    await chat.waitForText(/CONNECTED/);
    chat.send(pieces(JSON.stringify({ type: 'message', content: 'in pieces', padding })));
    expect(await chat.waitForText(/in pieces/)).to.include('"seq":1');
    const socket = await open(engine);
    socket.text(join(owner.token));
    await socket.waitForText(/^40\/rooms/);
    socket.send(pieces(`42/rooms,7["message:send",${JSON.stringify({ room_id, content: 'x', padding })}]`));
    expect(await socket.waitForText(/^43\/rooms,7/)).to.include('"seq":2');
  });

  it('rejects a frame by its announced size above MAX_FRAME_BYTES after a token', async () => {
    const { token } = createUser();
    const chat = await open('/chat');
    chat.text(JSON.stringify({ type: 'token', content: token }));
    await chat.waitForText(/READY/);
    chat.send(frame(opcodes.text, '', { length: 65_537 }));
    await chat.waitForClose();
    expect(chat.closeCode).to.equal(1009);
    const socket = await open(engine);
    socket.text(join(token));
    await socket.waitForText(/^40\/rooms/);
    socket.send(frame(opcodes.text, '', { length: 65_537 }));
    await socket.waitForClose();
    expect(socket.closeCode).to.equal(1009);
  });

  it('raises the limit with the token also if polling was upgraded, before or after the token', async () => {
    const { owner, room_id } = await ownRoom();
    const draft = (content: string) => ({ room_id, content, padding: 'p'.repeat(50_000) });
    const socket = await socketClient(url(), owner, { transports: ['polling', 'websocket'] });
    expect(await socket.request('message:send', draft('at once'))).to.include({ ok: true });
    if (socket.raw.io.engine.transport.name !== 'websocket')
      await new Promise((resolve) => socket.raw.io.engine.once('upgrade', resolve));
    expect(await socket.request('message:send', draft('upgraded'))).to.include({ ok: true });
  });

  it('lowers the limit when the socket leaves /rooms', async () => {
    const socket = await open(engine);
    socket.text(join(createUser().token));
    await socket.waitForText(/^40\/rooms/);
    socket.text('41/rooms,');
    socket.send(frame(opcodes.text, '', { length: 8_193 }));
    await socket.waitForClose();
    expect(socket.closeCode).to.equal(1009);
  });

  it('closes when a large frame follows an invalid token', async () => {
    const chat = await open('/chat');
    const bad = frame(opcodes.text, JSON.stringify({ type: 'token', content: 'bad' }));
    chat.send(Buffer.concat([bad, frame(opcodes.text, 'x'.repeat(100), { length: 60_000 })]));
    await chat.waitForClose();
    expect(chat.closeCode).to.equal(1009);
  });

  it('accepts only few Socket.IO packets before a token, and no binary packets', async () => {
    const many = await open(engine);
    for (let n = 0; n < 17; n++) many.text('40/nowhere,');
    await many.waitForClose();
    expect(many.texts.filter((text) => text.startsWith('44/nowhere,'))).to.have.lengthOf.at.most(16);
    const binary = await open(engine);
    binary.send(frame(opcodes.binary, 'x'));
    await binary.waitForClose();
  });

  it('limits the attachments of one packet together to the size of a frame', async () => {
    const socket = await open(engine);
    socket.text(join(createUser().token));
    await socket.waitForText(/^40\/rooms/);
    const attachment = Buffer.alloc(30_000);
    const placeholder = (num: number) => ({ _placeholder: true, num });
    socket.text(`452-/rooms,1["room:join",${JSON.stringify([placeholder(0), placeholder(1)])}]`);
    for (let n = 0; n < 2; n++) socket.send(frame(opcodes.binary, attachment));
    expect(await socket.waitForText(/^43\/rooms,1/)).to.include('BAD_REQUEST');
    socket.text(`453-/rooms,2["room:join",${JSON.stringify([0, 1, 2].map(placeholder))}]`);
    for (let n = 0; n < 3; n++) socket.send(frame(opcodes.binary, attachment));
    await socket.waitForClose();
  });

  it('rejects deeply nested values like any other invalid value', async () => {
    const depth = 30_000;
    const nested = (inside: string) => '['.repeat(depth) + inside + ']'.repeat(depth);
    const { token } = createUser();
    const chat = await open('/chat');
    chat.text(JSON.stringify({ type: 'token', content: token }));
    await chat.waitForText(/READY/);
    for (const key of ['room_id', 'other']) chat.text(`{"type":"select_room","${key}":${nested('')},"id":"${key}"}`);
    expect(await chat.waitForText(/"id":"other"/)).to.include('BAD_REQUEST');
    expect(await chat.waitForText(/"id":"room_id"/)).to.include('BAD_REQUEST');
    const socket = await open(engine);
    socket.text(`40/rooms,${JSON.stringify({ token })}`);
    await socket.waitForText(/^40\/rooms/);
    socket.text(`42/rooms,1["room:join",{"room_id":${nested('')}}]`);
    expect(await socket.waitForText(/^43\/rooms,1/)).to.include('BAD_REQUEST');
    socket.text(`42/rooms,2["room:join",${nested('')}]`);
    expect(await socket.waitForText(/^43\/rooms,2/)).to.include('BAD_REQUEST');
    // The parser fails when it searches the packet for the placeholder of the attachment.
    socket.text(`451-/rooms,3["room:join",${nested('{"_placeholder":true,"num":0}')}]`);
    socket.send(frame(opcodes.binary, 'x'));
    await Promise.race([socket.waitForClose(), socket.waitForText(/^43\/rooms,3/)]);
    expect((await rest(url()).get('/healthz')).status).to.equal(200);
  });

  it('limits the number of probes for an upgrade of long polling', async () => {
    const body = await (await fetch(`${url()}/socket.io/?EIO=4&transport=polling`)).text();
    const { sid } = JSON.parse(body.slice(1));
    const probing = await open(`${engine}&sid=${sid}`);
    for (let n = 0; n < 10; n++) probing.text('2probe');
    await probing.waitForClose();
    expect(probing.texts.length).to.be.at.most(4);
  });

  it('accepts binary frames of UTF-8 on /chat', async () => {
    const chat = await authenticatedChat(url(), createUser());
    chat.sendRaw(Buffer.from(JSON.stringify({ type: 'hello', id: 'ñ' })));
    expect(await chat.next()).to.deep.equal({ type: 'query', data: 'COMMAND?', id: 'ñ' });
    chat.sendRaw(Buffer.concat([Buffer.from('{"type":"hello","id":"'), Buffer.of(0xff), Buffer.from('"}')]));
    expect(await chat.closed).to.equal(1007);
  });

  it('accepts frames with a byte order mark on /chat', async () => {
    const chat = await chatClient(url());
    expect(await chat.next()).to.include({ data: 'START?' });
    chat.sendRaw(`\u{feff}${JSON.stringify({ type: 'token', content: createUser().token, id: 1 })}`);
    expect(await chat.next()).to.deep.equal({ type: 'status', data: 'READY', id: 1 });
  });
});

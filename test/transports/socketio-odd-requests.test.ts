import { expect } from 'chai';
import { requests } from '../helpers/contracts.ts';
import { describeOneWiring } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { type SocketClient, socketClient } from '../helpers/socket-client.ts';
import { createUser } from '../helpers/users.ts';

describeOneWiring('malformed Socket.IO requests', ({ url }) => {
  async function alone() {
    const owner = createUser({ level: 100 });
    const { room } = (await rest(url(), owner.token).post('/rooms', { name: 'odd' })).body.content;
    return { room_id: room.id as number, socket: await socketClient(url(), owner) };
  }

  /** Emits any event, documented or not, and returns its acknowledgement. */
  const ask = ({ raw }: SocketClient, name: string, ...payload: unknown[]) =>
    raw.timeout(15_000).emitWithAck(name, ...payload);

  /** The requests with a required field; the others accept any object. */
  const names = Object.entries(requests)
    .filter(([, { payload }]) => !payload.safeParse({}).success)
    .map(([name]) => name);
  const payloads: Record<string, unknown[]> = {
    nothing: [],
    null: [null],
    'a list': [[{ room_id: 1 }]],
    'a number': [42],
    'a string': ['room'],
    'an empty object': [{}],
    'binary data': [Buffer.from('{"room_id":1}')],
    'binary data inside': [{ room_id: Buffer.from('1'), content: Buffer.from('x'), token: Buffer.from('x') }],
    'objects where values belong': [{ room_id: {}, content: {}, token: {} }],
  };
  for (const [title, payload] of Object.entries(payloads)) {
    it(`acknowledges requests with ${title} with BAD_REQUEST, if they have a required field`, async () => {
      const { socket } = await alone();
      for (const name of names) {
        const { ok, error } = await ask(socket, name, ...payload);
        expect({ name, ok, code: error.code }).to.deep.equal({ name, ok: false, code: 'BAD_REQUEST' });
      }
    });
  }

  for (const room_id of [undefined, null, 'abc', '028', 0, -1, 1.5, [1], '', true]) {
    it(`names the field of the invalid room_id ${JSON.stringify(room_id)}`, async () => {
      const { socket } = await alone();
      for (const name of ['room:join', 'room:leave', 'message:send', 'message:history']) {
        const { error } = await ask(socket, name, { room_id, content: 'x' });
        expect({ name, ...error }).to.include({ name, code: 'BAD_REQUEST', field: 'room_id' });
      }
    });
  }

  for (const content of [undefined, null, 42, true, {}, ['x'], '', 'a\0b', 'half \ud83d']) {
    it(`names the field of the invalid content ${JSON.stringify(content)}`, async () => {
      const { room_id, socket } = await alone();
      const { error } = await ask(socket, 'message:send', { room_id, content });
      expect(error).to.include({ code: 'BAD_REQUEST', field: 'content' });
    });
  }

  for (const name of ['hello', '', 'message:new', 'constructor', '__proto__', 'toString', 'x'.repeat(10_000)]) {
    it(`acknowledges the unknown request ${JSON.stringify(name.slice(0, 20))} with an error`, async () => {
      const { socket } = await alone();
      const { ok, error } = await ask(socket, name, {});
      expect({ ok, code: error.code }).to.deep.equal({ ok: false, code: 'BAD_REQUEST' });
      expect(error.message).to.have.length.below(300);
    });
  }

  it('acknowledges a request whose name is a number with BAD_REQUEST', async () => {
    const { socket } = await alone();
    const { error } = await ask(socket, 7 as unknown as string, {});
    expect(error.code).to.equal('BAD_REQUEST');
  });

  it('handles requests without a callback, and drops their errors', async () => {
    const { room_id, socket } = await alone();
    socket.raw.emit('room:join', { room_id });
    socket.raw.emit('message:send', { room_id: 'abc' });
    socket.raw.emit('hello');
    socket.raw.emit('message:send', { room_id, content: 'unacknowledged' });
    expect(await socket.next()).to.include({ content: 'unacknowledged' });
  });

  it('uses the first of several arguments', async () => {
    const { room_id, socket } = await alone();
    expect(await ask(socket, 'room:join', { room_id }, 'more', null)).to.include({ ok: true });
  });
});

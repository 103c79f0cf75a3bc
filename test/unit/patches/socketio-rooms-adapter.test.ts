import { expect } from 'chai';
import type { Namespace } from 'socket.io';
import {
  catchUp,
  countDropped,
  createRoomsAdapter,
  finishWriting,
} from '../../../src/patches/socketio-rooms-adapter.ts';
import { textsIn } from '../../helpers/written-frames.ts';

const room = 'room:1';

const turn = () => new Promise((resolve) => setImmediate(resolve));

interface Options {
  wsPreEncodedFrame?: Buffer[];
}

/** The adapter over connections that record each write as a line. */
function stage() {
  const failures: unknown[] = [];
  const sockets = new Map<string, object>();
  const encoder = { encode: ({ data }: { data: unknown }) => [`2${JSON.stringify(data)}`] };
  const nsp = { name: '/rooms', server: { encoder }, sockets };
  const adapter = new (createRoomsAdapter((error) => void failures.push(error)))(nsp as unknown as Namespace);
  const emit = (rooms: string[], numbers: number[], except: string[] = []) => {
    for (const n of numbers) {
      const options = { rooms: new Set(rooms), except: new Set(except), flags: {} };
      adapter.broadcast({ type: 2, data: n } as never, options);
    }
  };
  return {
    ...{ adapter, failures, emit },
    say: (...numbers: number[]) => emit([room], numbers),
    sayVolatile: (data: unknown) =>
      adapter.broadcast({ type: 2, data } as never, {
        ...{ rooms: new Set([room]), except: new Set(), flags: { volatile: true } },
      }),
    enter: (id: string) => adapter.addAll(id, new Set([room])),
    socket(id: string, name = 'websocket', isBroken = false, unsentBytes = 0) {
      const writes: string[] = [];
      const conn = {
        transport: { name, writable: true, socket: { bufferedAmount: unsentBytes, terminate: () => {} } },
        write(data: string, { wsPreEncodedFrame }: Options) {
          if (isBroken) throw new Error('a connection that is broken');
          if (!wsPreEncodedFrame) return void writes.push(data);
          const frames = textsIn(Buffer.concat(wsPreEncodedFrame));
          // engine.io sends the frame unchanged; the packet's own type counts for the first frame.
          expect(frames[0]).to.equal(`4${data}`);
          writes.push(frames.join(' '));
        },
        close: () => void writes.push('closed'),
        once: () => {},
      };
      const client = { writeToEngine: (packets: string[]) => void writes.push(`directly ${packets.join(' ')}`) };
      const socket = { id, nsp: { adapter }, connected: true, conn, client, writes };
      sockets.set(id, socket);
      return socket;
    },
  };
}

describe('The adapter of the live rooms', () => {
  it('writes a volatile packet at once to all connections but the congested ones, and closes those that fail', () => {
    const { socket, enter, sayVolatile, adapter, failures } = stage();
    const all = [
      socket('web'),
      socket('poll', 'polling'),
      socket('congested', 'websocket', false, 20_000),
      socket('broken', 'websocket', true),
      socket('last', 'websocket', false, 16_384),
    ];
    for (const { id } of all) enter(id);
    sayVolatile(1);
    const [web, poll, congested, broken, last] = all.map(({ writes }) => writes);
    expect(web).to.deep.equal(['421']);
    expect(poll).to.deep.equal(['21']);
    expect(congested).to.deep.equal([]);
    expect(broken).to.deep.equal(['closed']);
    expect(last).to.deep.equal(web);
    expect(failures).to.have.lengthOf(1);
    expect(countDropped({ adapter })).to.equal(1);
  });

  it('writes all events of a room in a tick at once over WebSocket, and packet by packet over polling', async () => {
    const { socket, enter, say } = stage();
    const [web, poll, other] = [socket('web'), socket('poll', 'polling'), socket('other')];
    enter('web');
    enter('poll');
    say(1, 2, 3);
    expect(web.writes).to.deep.equal([]);
    await turn();
    expect(web.writes).to.deep.equal(['421 422 423']);
    expect(poll.writes).to.deep.equal(['21', '22', '23']);
    expect(other.writes).to.deep.equal([]);
  });

  it('delivers to a socket each event that is emitted while it is in the room, once', async () => {
    const { socket, enter, say, adapter } = stage();
    const [first, late] = [socket('first'), socket('late')];
    enter('first');
    say(1);
    enter('late');
    enter('first');
    say(2);
    adapter.del('first', room);
    expect(first.writes).to.deep.equal(['421', '422']);
    say(3);
    adapter.del('late', room);
    say(4);
    enter('late');
    say(5);
    await turn();
    expect(first.writes).to.deep.equal(['421', '422']);
    expect(late.writes).to.deep.equal(['422', '423', '425']);
  });

  it('writes earlier events of the room before an answer, and only to sockets in the room', async () => {
    const { socket, enter, say } = stage();
    const [inside, outside] = [socket('inside'), socket('outside')];
    enter('inside');
    say(1);
    catchUp(inside, room);
    catchUp(outside, room);
    expect(inside.writes).to.deep.equal(['421']);
    say(2);
    await turn();
    expect(inside.writes).to.deep.equal(['421', '422']);
    expect(outside.writes).to.deep.equal([]);
  });

  it('writes nothing to a socket that leaves before the end of the tick', async () => {
    const { socket, enter, say, adapter } = stage();
    const [gone, closed] = [socket('gone'), socket('closed')];
    enter('gone');
    enter('closed');
    say(1);
    adapter.delAll('gone');
    closed.connected = false;
    await turn();
    for (const { writes } of [gone, closed]) expect(writes).to.deep.equal([]);
  });

  it('closes a connection whose write fails, and still writes to the others', async () => {
    const { socket, enter, say, failures } = stage();
    const [broken, whole] = [socket('broken', 'websocket', true), socket('whole')];
    enter('broken');
    enter('whole');
    say(1);
    await turn();
    expect(broken.writes).to.deep.equal(['closed']);
    expect(whole.writes).to.deep.equal(['421']);
    expect(failures).to.have.lengthOf(1);
  });

  it('leaves events for several rooms or for a part of a room to socket.io', () => {
    const { socket, enter, emit, adapter } = stage();
    const [one, two] = [socket('one'), socket('two')];
    enter('one');
    enter('two');
    adapter.addAll('two', new Set(['room:2']));
    emit([room, 'room:2'], [1]);
    emit([room], [2], ['room:2']);
    emit([], [3]);
    expect(one.writes).to.deep.equal(['directly 21', 'directly 22', 'directly 23']);
    expect(two.writes).to.deep.equal(['directly 21', 'directly 23']);
  });

  it('writes pending packets of a large room before a volatile packet, on request', async () => {
    const { socket, enter, say, sayVolatile, adapter } = stage();
    const sockets = Array.from({ length: 200 }, (_, n) => socket(`socket ${n}`));
    for (const { id } of sockets) enter(id);
    say(1);
    await turn();
    finishWriting({ adapter }, room);
    sayVolatile(2);
    for (const { writes } of sockets) expect(writes).to.deep.equal(['421', '422']);
  });
});

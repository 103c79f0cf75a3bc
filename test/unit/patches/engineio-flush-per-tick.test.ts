import { expect } from 'chai';
import type { Socket } from 'socket.io';
import { createFlushPerTick } from '../../../src/patches/engineio-flush-per-tick.ts';

const turn = () => new Promise((resolve) => setImmediate(resolve));

interface Packet {
  data?: string;
  options?: { wsPreEncodedFrame?: Buffer[] };
}

/** The part of an engine.io connection that the patch uses; it records all calls. */
class Engine {
  readonly done: string[] = [];
  readyState = 'open';
  isBroken = false;
  writeBuffer: Packet[] = [];
  readonly transport: { name: string; writable: boolean; socket?: object; send(packets: Packet[]): void };

  constructor({ writable = true, bufferedAmount = 0, isPolling = false } = {}) {
    const note = (what: string) => () => void this.done.push(what);
    const tcp = { cork: note('cork'), uncork: note('uncork') };
    const socket = { bufferedAmount, _socket: tcp, terminate: note('terminated') };
    const send = (packets: Packet[]) => {
      this.transport.writable = false;
      this.done.push(`sent ${packets.length}`);
    };
    this.transport = isPolling ? { name: 'polling', writable, send } : { name: 'websocket', writable, send, socket };
  }

  flush(): void {
    if (this.isBroken) throw new Error('a transport that is broken');
    this.done.push('flush');
  }

  close(discard: boolean): void {
    this.done.push(`closed ${discard}`);
  }
}

/** The number of connections that were closed as slow consumers. */
let closedUnread = 0;

/** Connections of a server that buffers up to `maxBytes` for each. */
function connections(maxBytes: number, ...engines: Engine[]): Engine[] {
  closedUnread = 0;
  const flushPerTick = createFlushPerTick(maxBytes, () => void closedUnread++);
  for (const engine of engines) flushPerTick.add(engine as unknown as Socket['conn']);
  return engines;
}

describe('createFlushPerTick', () => {
  it('writes all packets of a connection in a tick at once, and to no other connection', async () => {
    const [busy, idle] = connections(0, new Engine(), new Engine());
    for (let n = 0; n < 3; n++) busy!.flush();
    expect(busy!.done).to.deep.equal([]);
    await turn();
    expect(busy!.done).to.deep.equal(['cork', 'flush', 'uncork']);
    expect(idle!.done).to.deep.equal([]);
    busy!.flush();
    await turn();
    expect(busy!.done.filter((what) => what === 'flush')).to.have.lengthOf(2);
  });

  it('flushes a closing connection at once, because its transport may be closed next', async () => {
    const [closing] = connections(0, new Engine());
    closing!.readyState = 'closing';
    closing!.flush();
    expect(closing!.done).to.deep.equal(['cork', 'flush', 'uncork']);
    await turn();
    expect(closing!.done).to.have.lengthOf(3);
  });

  it('closes a connection whose flush fails, and still flushes the others', async () => {
    const [broken, whole] = connections(0, new Engine(), new Engine());
    broken!.isBroken = true;
    broken!.flush();
    whole!.flush();
    await turn();
    expect(broken!.done).to.deep.equal(['cork', 'uncork', 'closed true', 'terminated']);
    expect(whole!.done).to.deep.equal(['cork', 'flush', 'uncork']);
  });

  it('does not cork a polling connection', async () => {
    const [polling] = connections(100, new Engine({ isPolling: true }));
    polling!.flush();
    await turn();
    expect(polling!.done).to.deep.equal(['flush']);
  });

  const frames = () => ({ data: 'x', options: { wsPreEncodedFrame: [Buffer.alloc(60_000)] } });
  const waiting: [title: string, maxBytes: number, engine: Engine, packets: Packet[], done: string[]][] = [
    ['exactly the maximum of unsent bytes', 100, new Engine({ bufferedAmount: 100 }), [], ['cork', 'flush', 'uncork']],
    [
      'more than the maximum in its socket',
      100,
      new Engine({ bufferedAmount: 101 }),
      [],
      ['closed true', 'terminated'],
    ],
    [
      'any number of unsent bytes without a maximum',
      0,
      new Engine({ bufferedAmount: 1e9 }),
      [],
      ['cork', 'flush', 'uncork'],
    ],
    [
      'more than the maximum in the engine, in pre-encoded frames',
      100_000,
      new Engine({ writable: false }),
      [frames(), frames()],
      ['closed true', 'terminated'],
    ],
    [
      'up to the maximum for long polling',
      100_000,
      new Engine({ writable: false, isPolling: true }),
      [{ data: 'x'.repeat(99_000) }, {}],
      ['flush'],
    ],
    [
      'more than the maximum for long polling, counted as UTF-8',
      100_000,
      new Engine({ writable: false, isPolling: true }),
      [{ data: 'ñ'.repeat(30_000) }, { data: 'ñ'.repeat(20_001) }],
      ['closed true'],
    ],
    [
      'very many small packets for long polling, which take more memory than their text',
      100_000,
      new Engine({ writable: false, isPolling: true }),
      Array.from({ length: 1_000 }, () => ({ data: 'x' })),
      ['closed true'],
    ],
    [
      'more than the maximum in a writable engine, which flushes it now',
      100,
      new Engine(),
      [frames(), frames()],
      ['cork', 'flush', 'uncork'],
    ],
  ];
  for (const [title, maxBytes, engine, packets, done] of waiting) {
    it(`${done.includes('flush') ? 'keeps' : 'closes'} a connection with ${title}`, async () => {
      connections(maxBytes, engine);
      engine.writeBuffer = packets;
      engine.flush();
      await turn();
      expect(engine.done).to.deep.equal(done);
      expect(closedUnread).to.equal(done.includes('flush') ? 0 : 1);
    });
  }

  it('closes a connection with too many unsent bytes, even without a new packet', () => {
    const flushPerTick = createFlushPerTick(100, () => void closedUnread++);
    const [full, fine] = [new Engine({ bufferedAmount: 101 }), new Engine({ bufferedAmount: 100 })];
    closedUnread = 0;
    for (const engine of [full, fine]) flushPerTick.check(engine as unknown as Socket['conn']);
    expect(full.done).to.deep.equal(['closed true', 'terminated']);
    expect(fine.done).to.deep.equal([]);
    expect(closedUnread).to.equal(1);
  });

  it('sends 16 packets at a time over long polling, and leaves the last to the engine', async () => {
    const [polling] = connections(0, new Engine({ isPolling: true }));
    polling!.writeBuffer = Array.from({ length: 33 }, () => ({ data: 'x' }));
    for (let n = 0; n < 3; n++) {
      polling!.flush();
      await turn();
      polling!.transport.writable = true;
    }
    expect(polling!.done).to.deep.equal(['sent 16', 'sent 16', 'flush']);
  });
});

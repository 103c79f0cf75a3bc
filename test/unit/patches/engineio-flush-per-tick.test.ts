import { expect } from 'chai';
import type { Socket } from 'socket.io';
import { createFlushPerTick } from '../../../src/patches/engineio-flush-per-tick.ts';

const turn = () => new Promise((resolve) => setImmediate(resolve));

interface Packet {
  data?: string;
  options?: { wsPreEncodedFrame?: Buffer[] };
}

/** What of an engine.io connection the flushing asks for, and what it does to it. */
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

/** How many were closed because they do not read. */
let closedUnread = 0;

/** Connections of a server that lets `most` bytes wait. */
function connections(most: number, ...engines: Engine[]): Engine[] {
  closedUnread = 0;
  const flushPerTurn = createFlushPerTick(most, () => void closedUnread++);
  for (const engine of engines) flushPerTurn.add(engine as unknown as Socket['conn']);
  return engines;
}

describe('flushing once per turn', () => {
  it('sends what was said to a connection in a turn in one go, and to no other', async () => {
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

  it('does not wait where the connection is closing: the transport may be closed next', async () => {
    const [closing] = connections(0, new Engine());
    closing!.readyState = 'closing';
    closing!.flush();
    expect(closing!.done).to.deep.equal(['cork', 'flush', 'uncork']);
    await turn();
    expect(closing!.done).to.have.lengthOf(3);
  });

  it('closes a connection that fails, and sends what was said to the others', async () => {
    const [broken, whole] = connections(0, new Engine(), new Engine());
    broken!.isBroken = true;
    broken!.flush();
    whole!.flush();
    await turn();
    expect(broken!.done).to.deep.equal(['cork', 'uncork', 'closed true', 'terminated']);
    expect(whole!.done).to.deep.equal(['cork', 'flush', 'uncork']);
  });

  it('has nothing to cork for long polling', async () => {
    const [polling] = connections(100, new Engine({ isPolling: true }));
    polling!.flush();
    await turn();
    expect(polling!.done).to.deep.equal(['flush']);
  });

  const frames = () => ({ data: 'x', options: { wsPreEncodedFrame: [Buffer.alloc(60_000)] } });
  const waiting: [title: string, most: number, engine: Engine, packets: Packet[], done: string[]][] = [
    ['as many as may', 100, new Engine({ bufferedAmount: 100 }), [], ['cork', 'flush', 'uncork']],
    ['more than may in its socket', 100, new Engine({ bufferedAmount: 101 }), [], ['closed true', 'terminated']],
    ['more than may, where there is no bound', 0, new Engine({ bufferedAmount: 1e9 }), [], ['cork', 'flush', 'uncork']],
    [
      'more than may in the engine, of frames made before',
      100_000,
      new Engine({ writable: false }),
      [frames(), frames()],
      ['closed true', 'terminated'],
    ],
    [
      'as many as may of long polling',
      100_000,
      new Engine({ writable: false, isPolling: true }),
      [{ data: 'x'.repeat(99_000) }, {}],
      ['flush'],
    ],
    [
      'more than may of long polling, as UTF-8',
      100_000,
      new Engine({ writable: false, isPolling: true }),
      [{ data: 'ñ'.repeat(30_000) }, { data: 'ñ'.repeat(20_001) }],
      ['closed true'],
    ],
    [
      'very many small packets of long polling, which weigh more than their text',
      100_000,
      new Engine({ writable: false, isPolling: true }),
      Array.from({ length: 1_000 }, () => ({ data: 'x' })),
      ['closed true'],
    ],
    [
      'more than may in the engine, which it will hand over now',
      100,
      new Engine(),
      [frames(), frames()],
      ['cork', 'flush', 'uncork'],
    ],
  ];
  for (const [title, most, engine, packets, done] of waiting) {
    it(`${done.includes('flush') ? 'keeps' : 'closes'} a connection for which wait ${title}`, async () => {
      connections(most, engine);
      engine.writeBuffer = packets;
      engine.flush();
      await turn();
      expect(engine.done).to.deep.equal(done);
      expect(closedUnread).to.equal(done.includes('flush') ? 0 : 1);
    });
  }

  it('closes one that has too much unsent, also when nothing is said to it', () => {
    const flushPerTurn = createFlushPerTick(100, () => void closedUnread++);
    const [full, fine] = [new Engine({ bufferedAmount: 101 }), new Engine({ bufferedAmount: 100 })];
    closedUnread = 0;
    for (const engine of [full, fine]) flushPerTurn.check(engine as unknown as Socket['conn']);
    expect(full.done).to.deep.equal(['closed true', 'terminated']);
    expect(fine.done).to.deep.equal([]);
    expect(closedUnread).to.equal(1);
  });

  it('gives long polling 16 packets at a time, and the engine the last of them', async () => {
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

import { expect } from 'chai';
import { BroadcastBatcher } from '../../../src/transports/broadcast-batcher.ts';
import { textsIn } from '../../helpers/written-frames.ts';

/** Waits for the end of the tick, when the batcher has written the messages. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

async function turns(count: number): Promise<void> {
  for (let n = 0; n < count; n++) await turn();
}

/** Two rooms, and the writes to each subscriber; a write is a list of texts. */
function stage(inside: Record<string, string[]> = { kitchen: ['ann', 'bob'] }) {
  const rooms = new Map(Object.entries(inside).map(([room, members]) => [room, new Set(members)]));
  const heard = new Map<string, string[][]>();
  const buffers = new Map<string, Buffer[]>();
  const failed: string[] = [];
  const broken = new Set<string>();
  let onWrite = (_member: string) => {};
  const writes = new BroadcastBatcher<string, string>({
    listSubscribers: (room) => rooms.get(room) ?? new Set(),
    write(member, { frames, texts }) {
      if (broken.has(member)) throw new Error('a line that is broken');
      expect(textsIn(Buffer.concat(frames))).to.deep.equal(texts);
      heard.set(member, [...(heard.get(member) ?? []), [...texts]]);
      buffers.set(member, [...(buffers.get(member) ?? []), ...frames]);
      onWrite(member);
    },
    onError(member, error) {
      failed.push(`${member}: ${(error as Error).message}`);
      for (const room of rooms.keys()) leave(room, member);
    },
  });
  function leave(room: string, member: string): void {
    writes.catchUp(room, member);
    rooms.get(room)!.delete(member);
  }
  return {
    ...{ writes, failed, broken, buffers, leave },
    heardBy: (member: string) => heard.get(member) ?? [],
    say: (room: string, ...texts: string[]) => {
      for (const text of texts) writes.append(room, text);
    },
    enter(room: string, member: string) {
      rooms.get(room)!.add(member);
      writes.skipPending(room, member);
    },
    whenWritten: (act: typeof onWrite) => {
      onWrite = act;
    },
  };
}

describe('the broadcast batcher', () => {
  it('writes messages at the end of the tick, once to each subscriber, from one buffer', async () => {
    const { say, heardBy, buffers } = stage();
    say('kitchen', '1', '2', '3');
    expect(heardBy('ann')).to.deep.equal([]);
    await turn();
    for (const member of ['ann', 'bob']) expect(heardBy(member)).to.deep.equal([['1', '2', '3']]);
    for (const member of ['ann', 'bob']) expect(buffers.get(member)).to.have.lengthOf(1);
    expect(buffers.get('ann')![0]).to.equal(buffers.get('bob')![0]);
  });

  it('waits for the microtasks of the tick and not for another tick', async () => {
    const { say, heardBy } = stage();
    await Promise.resolve();
    say('kitchen', '1');
    for (let n = 0; n < 5; n++) await Promise.resolve();
    say('kitchen', '2');
    expect(heardBy('ann')).to.deep.equal([]);
    await turn();
    say('kitchen', '3');
    await turn();
    await turn();
    expect(heardBy('ann')).to.deep.equal([['1', '2'], ['3']]);
  });

  it('counts a message once for each subscriber that it was written to', async () => {
    const { say, writes, enter } = stage({ kitchen: ['ann', 'bob'], hall: [] });
    say('kitchen', '1', '2');
    say('hall', '1');
    enter('kitchen', 'late');
    writes.catchUp('kitchen', 'ann');
    say('kitchen', '3');
    await turn();
    expect(writes.deliveries).to.equal(3 + 3 + 1);
  });

  it('frames messages of any length and alphabet', async () => {
    const texts = ['', 'ä', 'x'.repeat(125), 'x'.repeat(126), '€'.repeat(300), 'x'.repeat(65_535), 'x'.repeat(65_536)];
    const { say, heardBy } = stage();
    say('kitchen', ...texts);
    await turn();
    expect(heardBy('ann')).to.deep.equal([texts]);
  });

  it('writes messages only to the subscribers of their room', async () => {
    const { say, heardBy } = stage({ kitchen: ['ann', 'bob'], hall: ['bob', 'cid'], attic: [] });
    say('kitchen', 'k1');
    say('hall', 'h1');
    say('attic', 'a1');
    say('kitchen', 'k2');
    await turn();
    expect(heardBy('ann')).to.deep.equal([['k1', 'k2']]);
    expect(heardBy('bob')).to.deep.equal([['k1', 'k2'], ['h1']]);
    expect(heardBy('cid')).to.deep.equal([['h1']]);
  });

  it('delivers messages to subscribers that join before them', async () => {
    const { say, enter, heardBy } = stage();
    enter('kitchen', 'early');
    say('kitchen', '1', '2');
    enter('kitchen', 'cid');
    say('kitchen', '3');
    enter('kitchen', 'late');
    await turn();
    expect(heardBy('early')).to.deep.equal([['1', '2', '3']]);
    expect(heardBy('cid')).to.deep.equal([['3']]);
    expect(heardBy('late')).to.deep.equal([]);
    say('kitchen', '4');
    await turn();
    expect(heardBy('cid').concat(heardBy('late'))).to.deep.equal([['3'], ['4'], ['4']]);
  });

  it('writes pending messages before other frames of a subscriber, and not again', async () => {
    const { say, writes, heardBy } = stage();
    writes.catchUp('kitchen', 'ann');
    say('kitchen', '1', '2');
    writes.catchUp('kitchen', 'ann');
    expect(heardBy('ann')).to.deep.equal([['1', '2']]);
    writes.catchUp('kitchen', 'ann');
    say('kitchen', '3');
    writes.catchUp('kitchen', 'ann');
    say('kitchen', '4', '5');
    await turn();
    writes.catchUp('kitchen', 'ann');
    expect(heardBy('ann')).to.deep.equal([['1', '2'], ['3'], ['4', '5']]);
    expect(heardBy('bob')).to.deep.equal([['1', '2', '3', '4', '5']]);
  });

  it('delivers messages sent before a subscriber leaves and none after, unless it joins again', async () => {
    const { say, leave, enter, heardBy } = stage();
    say('kitchen', '1');
    leave('kitchen', 'ann');
    leave('kitchen', 'bob');
    say('kitchen', '2');
    enter('kitchen', 'bob');
    say('kitchen', '3');
    await turn();
    expect(heardBy('ann')).to.deep.equal([['1']]);
    expect(heardBy('bob')).to.deep.equal([['1'], ['3']]);
  });

  it('writes messages that arrive during a write in the next write, once', async () => {
    const { say, heardBy, whenWritten } = stage();
    let answers = 0;
    whenWritten((member) => {
      if (member === 'ann' && answers++ === 0) say('kitchen', '2');
    });
    say('kitchen', '1');
    await turn();
    for (const member of ['ann', 'bob']) expect(heardBy(member)).to.deep.equal([['1'], ['2']]);
  });

  it('reaches all other subscribers if a write fails, and reports and removes the failed one', async () => {
    const { say, failed, broken, heardBy } = stage({ kitchen: ['ann', 'bob', 'cid'] });
    broken.add('ann');
    say('kitchen', '1');
    await turn();
    say('kitchen', '2');
    await turn();
    for (const member of ['bob', 'cid']) expect(heardBy(member)).to.deep.equal([['1'], ['2']]);
    expect(failed).to.deep.equal(['ann: a line that is broken']);
  });

  it('does not retry a subscriber whose pending messages could not be written', async () => {
    const { say, writes, failed, broken, heardBy } = stage();
    broken.add('ann');
    say('kitchen', '1');
    writes.catchUp('kitchen', 'ann');
    expect(failed).to.deep.equal(['ann: a line that is broken']);
    say('kitchen', '2');
    await turn();
    expect(failed).to.have.lengthOf(1);
    expect(heardBy('bob')).to.deep.equal([['1', '2']]);
  });

  describe('in a large room', () => {
    const crowd = Array.from({ length: 200 }, (_, n) => `m${n}`);
    const reached = (heardBy: (member: string) => string[][]) => crowd.filter((member) => heardBy(member).length > 0);

    it('yields to the event loop between writes, and includes new messages in the writes that are left', async () => {
      const { say, heardBy } = stage({ kitchen: crowd, hall: ['ann'] });
      say('kitchen', '1');
      await turn();
      const early = reached(heardBy);
      expect(early.length).to.be.within(1, crowd.length - 1);
      say('kitchen', '2');
      say('hall', 'h1');
      await Promise.resolve();
      await new Promise((resolve) => process.nextTick(resolve));
      expect(heardBy('ann'), 'a small room does not wait').to.deep.equal([['h1']]);
      while (heardBy('m0').length < 2 || heardBy('m199').length < 1) await turn();
      await turns(10);
      for (const member of crowd) {
        expect(heardBy(member)).to.deep.equal(early.includes(member) ? [['1'], ['2']] : [['1', '2']]);
      }
      say('kitchen', '3');
      await turns(10);
      for (const member of crowd) expect(heardBy(member).at(-1)).to.deep.equal(['3']);
    });

    it('writes everything at once to all members on request, and nothing again', async () => {
      const { say, writes, heardBy } = stage({ kitchen: crowd });
      say('kitchen', '1');
      await turn();
      expect(reached(heardBy).length).to.be.below(crowd.length);
      say('kitchen', '2');
      writes.finish('kitchen');
      for (const member of crowd) expect(heardBy(member).flat()).to.deep.equal(['1', '2']);
      await turns(10);
      for (const member of crowd) expect(heardBy(member).flat()).to.deep.equal(['1', '2']);
    });

    it('loses nothing that a write to another room adds in the same flush', async () => {
      const { say, whenWritten, heardBy } = stage({ hall: ['ann'], kitchen: crowd });
      whenWritten((member) => {
        if (member === 'ann') say('kitchen', '2');
      });
      say('hall', 'h1');
      say('kitchen', '1');
      await turns(20);
      for (const member of crowd) expect(heardBy(member).flat()).to.deep.equal(['1', '2']);
    });

    it('reports a failed write once, and reaches all others', async () => {
      const { say, failed, broken, heardBy } = stage({ kitchen: crowd });
      for (const member of ['m3', 'm150']) broken.add(member);
      say('kitchen', '1');
      await turn();
      say('kitchen', '2');
      await turns(10);
      expect(failed).to.deep.equal(['m3: a line that is broken', 'm150: a line that is broken']);
      for (const member of crowd.filter((each) => !broken.has(each))) {
        expect(heardBy(member).flat()).to.deep.equal(['1', '2']);
      }
    });

    it('delivers what is said while a member is inside, once and in order, whenever members enter, leave and catch up', async () => {
      const { say, writes, leave, enter, heardBy } = stage({ kitchen: crowd });
      const expected = new Map(crowd.map((member) => [member, [] as string[]]));
      const inside = new Set(crowd);
      const random = (below: number) => Math.floor(Math.random() * below);
      const anyone = () => crowd[random(crowd.length)]!;
      for (let step = 0; step < 3_000; step++) {
        const member = anyone();
        const act = random(8);
        if (act < 2) {
          say('kitchen', `${step}`);
          for (const each of inside) expected.get(each)!.push(`${step}`);
        } else if (act < 3 && inside.has(member)) {
          leave('kitchen', member);
          inside.delete(member);
          expect(heardBy(member).flat(), 'before it leaves').to.deep.equal(expected.get(member));
        } else if (act < 4 && !inside.has(member)) {
          enter('kitchen', member);
          inside.add(member);
        } else if (act < 5 && inside.has(member)) {
          writes.catchUp('kitchen', member);
          expect(heardBy(member).flat(), 'after it has caught up').to.deep.equal(expected.get(member));
        } else if (act < 6) await turn();
      }
      await turns(20);
      for (const member of crowd) expect(heardBy(member).flat(), member).to.deep.equal(expected.get(member));
    });
  });
});

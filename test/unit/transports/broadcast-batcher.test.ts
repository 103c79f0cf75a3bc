import { expect } from 'chai';
import { BroadcastBatcher } from '../../../src/transports/broadcast-batcher.ts';
import { textsIn } from '../../helpers/written-frames.ts';

/** The end of the turn: what was said in it has been written. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Two rooms, and what is written to whom: a write is the texts of it. */
function stage(inside: Record<string, string[]> = { kitchen: ['ann', 'bob'] }) {
  const rooms = new Map(Object.entries(inside).map(([room, members]) => [room, new Set(members)]));
  const heard = new Map<string, string[][]>();
  const buffers = new Map<string, Buffer[]>();
  const failed: string[] = [];
  const broken = new Set<string>();
  let onWrite = (_member: string) => {};
  const writes = new BroadcastBatcher<string, string>({
    listSubscribers: (room) => rooms.get(room) ?? [],
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

describe('what is said in a room', () => {
  it('is written at the end of the turn, once to each member, from one buffer', async () => {
    const { say, heardBy, buffers } = stage();
    say('kitchen', '1', '2', '3');
    expect(heardBy('ann')).to.deep.equal([]);
    await turn();
    for (const member of ['ann', 'bob']) expect(heardBy(member)).to.deep.equal([['1', '2', '3']]);
    for (const member of ['ann', 'bob']) expect(buffers.get(member)).to.have.lengthOf(1);
    expect(buffers.get('ann')![0]).to.equal(buffers.get('bob')![0]);
  });

  it('waits for the promises that the turn brings on, and for no other turn', async () => {
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

  it('is counted once for each member that it was written to, however it was', async () => {
    const { say, writes, enter } = stage({ kitchen: ['ann', 'bob'], hall: [] });
    say('kitchen', '1', '2');
    say('hall', '1');
    enter('kitchen', 'late');
    writes.catchUp('kitchen', 'ann');
    say('kitchen', '3');
    await turn();
    expect(writes.deliveries).to.equal(3 + 3 + 1);
  });

  it('is framed whatever its length and letters', async () => {
    const texts = ['', 'ä', 'x'.repeat(125), 'x'.repeat(126), '€'.repeat(300), 'x'.repeat(65_535), 'x'.repeat(65_536)];
    const { say, heardBy } = stage();
    say('kitchen', ...texts);
    await turn();
    expect(heardBy('ann')).to.deep.equal([texts]);
  });

  it('is for its members only', async () => {
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

  it('is heard by who comes from then on, and by who came before anything was said', async () => {
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

  it('goes before what else a member is written, and not again', async () => {
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

  it('before a member goes is heard by it, and nothing after, unless it comes again', async () => {
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

  it('while it is written is written next, once', async () => {
    const { say, heardBy, whenWritten } = stage();
    let answers = 0;
    whenWritten((member) => {
      if (member === 'ann' && answers++ === 0) say('kitchen', '2');
    });
    say('kitchen', '1');
    await turn();
    for (const member of ['ann', 'bob']) expect(heardBy(member)).to.deep.equal([['1'], ['2']]);
  });

  it('reaches all others where a member cannot be written to, who is named once and gone', async () => {
    const { say, failed, broken, heardBy } = stage({ kitchen: ['ann', 'bob', 'cid'] });
    broken.add('ann');
    say('kitchen', '1');
    await turn();
    say('kitchen', '2');
    await turn();
    for (const member of ['bob', 'cid']) expect(heardBy(member)).to.deep.equal([['1'], ['2']]);
    expect(failed).to.deep.equal(['ann: a line that is broken']);
  });

  it('is not tried again on who could not be caught up', async () => {
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
});

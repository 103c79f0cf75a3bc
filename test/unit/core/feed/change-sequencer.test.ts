import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { ChangeSequencer } from '../../../../src/core/feed/change-sequencer.ts';
import type { Change } from '../../../../src/core/log/change.ts';

const room_id = 7;
const change = (rev: number) => ({ kind: 'room', room_id, rev, at: rev, room: {} }) as Change;

describe('the order of changes', () => {
  it('reads on where all that it reads is heard meanwhile, and the next gap is there already', async () => {
    const heard: number[] = [];
    const failures: unknown[] = [];
    const reads: { from: number; answer: () => void }[] = [];
    const order = new ChangeSequencer({
      room: room_id,
      log: {
        changes: (_room, from, to) => {
          const changes = Array.from({ length: to - from + 1 }, (_, n) => change(from + n));
          return new Promise((resolve) => reads.push({ from, answer: () => resolve(changes) }));
        },
      },
      events: { repaired() {}, reordered() {}, reconciled() {}, failed: (error) => failures.push(error) },
      deliver: ({ rev }) => heard.push(rev),
      onUnknownKind: (error) => {
        throw error;
      },
    });
    const readOf = async (from: number) => {
      for (let tries = 0; tries < 100 && reads.at(-1)?.from !== from; tries++) await pause(10);
      expect(reads.at(-1), 'what is read last').to.include({ from });
      return reads.at(-1)!;
    };
    order.startAt({ room_id, rev: 0, at: 0 });
    order.receive(change(2));
    const first = await readOf(1);
    order.receive(change(1));
    order.receive(change(4));
    // Longer than a change waits for the one before it: who comes to repair finds that somebody is at it.
    await pause(60);
    first.answer();
    (await readOf(3)).answer();
    await pause(0);
    expect({ heard, failures }).to.deep.equal({ heard: [1, 2, 3, 4], failures: [] });
    order.end();
  });
});

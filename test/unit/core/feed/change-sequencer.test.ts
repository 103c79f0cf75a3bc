import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { ChangeSequencer } from '../../../../src/core/feed/change-sequencer.ts';
import type { Change } from '../../../../src/core/log/change.ts';

const room_id = 7;
const change = (rev: number) => ({ kind: 'room', room_id, rev, at: rev, room: {} }) as Change;

describe('ChangeSequencer', () => {
  it('fills the next gap even if all changes that it reads for the first one arrive meanwhile', async () => {
    const delivered: number[] = [];
    const failures: unknown[] = [];
    const reads: { from: number; answer: () => void }[] = [];
    const sequencer = new ChangeSequencer({
      feed: {
        room: room_id,
        joins: 0,
        deliver: ({ rev }) => void delivered.push(rev),
        onUnknownKind(error) {
          throw error;
        },
      },
      log: {
        changes: (_room, from, to) => {
          const changes = Array.from({ length: to - from + 1 }, (_, n) => change(from + n));
          return new Promise((resolve) => reads.push({ from, answer: () => resolve(changes) }));
        },
      },
      events: { repaired() {}, reordered() {}, reconciled() {}, failed: (error) => failures.push(error) },
    });
    const waitForRead = async (from: number) => {
      for (let attempts = 0; attempts < 100 && reads.at(-1)?.from !== from; attempts++) await delay(10);
      expect(reads.at(-1), 'the last read').to.include({ from });
      return reads.at(-1)!;
    };
    sequencer.startAt({ room_id, rev: 0, at: 0 });
    sequencer.receive(change(2));
    const first = await waitForRead(1);
    sequencer.receive(change(1));
    sequencer.receive(change(4));
    // Waits longer than the gap timeout, so that the second repair starts while the first is still running.
    await delay(60);
    first.answer();
    (await waitForRead(3)).answer();
    await delay(0);
    expect({ delivered, failures }).to.deep.equal({ delivered: [1, 2, 3, 4], failures: [] });
    sequencer.end();
  });
});

/** Loaded by a node before it starts. Breaks the rule that TORTURE_DEFECT names, if that is a matter of the nodes. */
import { setTimeout as delay } from 'node:timers/promises';
import { JournalReader } from '../../src/core/log/journal.ts';
import { Peers } from '../../src/features/presence/peers.ts';
import { TypingRoom } from '../../src/features/typing/typing-room.ts';
import { BroadcastBatcher } from '../../src/transports/broadcast-batcher.ts';
import type { Defect } from './defects.ts';

const lateMs = 4_000;
const neverMs = 3_600_000;

const inNodes: Partial<Record<Defect, () => void>> = {
  delivery() {
    const { append } = BroadcastBatcher.prototype;
    BroadcastBatcher.prototype.append = function (...args) {
      if (Math.random() > 0.01) append.apply(this, args);
    };
  },
  'inbox-late'() {
    const { poll } = JournalReader.prototype;
    JournalReader.prototype.poll = async function () {
      await delay(lateMs);
      return poll.call(this);
    };
  },
  typing() {
    TypingRoom.prototype.expire = (now) => ({ changed: false, localChanged: false, nextAt: now + neverMs });
  },
  presence() {
    Peers.prototype.publish = () => {};
  },
};

inNodes[process.env.TORTURE_DEFECT as Defect]?.();

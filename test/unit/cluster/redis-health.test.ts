import { expect } from 'chai';
import { Heartbeat } from '../../../src/cluster/heartbeat.ts';
import { closeLater } from '../../helpers/cleanup.ts';
import { onFakeClock } from '../../helpers/fake-clock.ts';

const timesMs = { beatMs: 10, silenceMs: 50 };

/** Runs a heartbeat for `ms` milliseconds, with or without arriving beats. */
async function runHeartbeat(ms: number, arrives: () => boolean, meanwhile = () => {}) {
  const counts = { beats: 0, silences: 0 };
  const heartbeat: Heartbeat = new Heartbeat(
    {
      sendBeat() {
        counts.beats += 1;
        if (arrives()) heartbeat.handleBeat();
      },
      onSilent: () => void counts.silences++,
    },
    timesMs,
  );
  closeLater(() => heartbeat.stop());
  meanwhile();
  await new Promise((resolve) => setTimeout(resolve, ms));
  heartbeat.stop();
  return counts;
}

/** Without the delays of a busy machine. */
async function runOnFakeClock(ms: number, arrives: () => boolean) {
  let counts = { beats: 0, silences: 0 };
  await onFakeClock(async () => {
    counts = await runHeartbeat(ms, arrives);
  });
  return counts;
}

const block = (ms: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

describe('Heartbeat', () => {
  it('reports no silence while heartbeats arrive', async () => {
    expect(await runOnFakeClock(200, () => true)).to.deep.equal({ beats: 20, silences: 0 });
  });

  it('reports silence repeatedly while no heartbeat arrives, but not with every heartbeat', async () => {
    expect(await runOnFakeClock(250, () => false)).to.deep.equal({ beats: 25, silences: 4 });
  });

  it('reports no silence of Redis after a blocked event loop', async () => {
    const { silences } = await runHeartbeat(
      40,
      () => true,
      () => block(150),
    );
    expect(silences).to.equal(0);
  });

  it('sends no heartbeats after stop()', async () => {
    const counts = await runHeartbeat(30, () => false);
    const { beats } = counts;
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(counts.beats).to.equal(beats);
  });
});

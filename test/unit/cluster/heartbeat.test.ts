import { expect } from 'chai';
import { Heartbeat } from '../../../src/cluster/heartbeat.ts';
import { closeLater } from '../../helpers/cleanup.ts';

const timesMs = { beatMs: 10, silenceMs: 50 };

/** A heart whose beats come back, or not, for so long. */
async function listened(ms: number, comesBack: () => boolean, meanwhile = () => {}) {
  const counts = { beats: 0, silences: 0 };
  const heart: Heartbeat = new Heartbeat(
    {
      sendBeat() {
        counts.beats += 1;
        if (comesBack()) heart.handleBeat();
      },
      onSilent: () => void counts.silences++,
    },
    timesMs,
  );
  closeLater(() => heart.stop());
  meanwhile();
  await new Promise((resolve) => setTimeout(resolve, ms));
  heart.stop();
  return counts;
}

const block = (ms: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

describe('the heartbeat', () => {
  it('says nothing while its beats come back', async () => {
    const { beats, silences } = await listened(200, () => true);
    expect(beats).to.be.above(4);
    expect(silences).to.equal(0);
  });

  it('says so while nothing comes back, again and again but not with every beat', async () => {
    const { beats, silences } = await listened(250, () => false);
    expect(silences).to.be.within(2, 5);
    expect(beats).to.be.above(silences);
  });

  it('does not take its own lateness for silence', async () => {
    const { silences } = await listened(
      40,
      () => true,
      () => block(150),
    );
    expect(silences).to.equal(0);
  });

  it('is still once it is stopped', async () => {
    const counts = await listened(30, () => false);
    const { beats } = counts;
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(counts.beats).to.equal(beats);
  });
});

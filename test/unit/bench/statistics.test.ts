import { expect } from 'chai';
import { messageIn } from '../../../bench/baselines/plain-chat.ts';
import { contentOf, deliveryIn } from '../../../bench/load/content.ts';
import { Histogram, quantile, spreadsOf } from '../../../bench/statistics.ts';
import type { MessageChange } from '../../../src/core/log/change.ts';
import { toChangeEvent, toMessageFrame } from '../../../src/core/log/change-kinds.ts';

describe('quantile', () => {
  const table: [share: number, sorted: number[], value: number][] = [
    [0.5, [7], 7],
    [0, [1, 2, 3], 1],
    [0.5, [1, 2, 3], 2],
    [1, [1, 2, 3], 3],
    [0.5, [1, 2, 3, 10], 2.5],
    [0.25, [0, 10], 2.5],
    [0.99, Array.from({ length: 101 }, (_, n) => n), 99],
    [0.999, [0, 1_000], 999],
  ];
  for (const [share, sorted, value] of table) {
    const of = sorted.length > 5 ? `${sorted.length} values` : sorted.join(', ');
    it(`returns ${value} as the quantile ${share} of ${of}`, () => expect(quantile(sorted, share)).to.equal(value));
  }

  it('returns NaN as the quantile of an empty list', () => expect(quantile([], 0.5)).to.be.NaN);
});

describe('spreadsOf', () => {
  it('computes the median, minimum and maximum of each figure separately, in numeric order', () => {
    const spreads = spreadsOf([
      { ms: 10, kib: 3 },
      { ms: 9, kib: 1 },
      { ms: 100, kib: 2 },
    ]);
    expect(spreads).to.deep.equal({ ms: { median: 10, min: 9, max: 100 }, kib: { median: 2, min: 1, max: 3 } });
  });
});

describe('a histogram of times', () => {
  function histogramOf(times: Iterable<number>): Histogram {
    const histogram = new Histogram();
    for (const us of times) histogram.add(us);
    return histogram;
  }

  const shares = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1];

  /** `count` times from `from` to `to` µs, equally many in each doubling. */
  function timesIn(from: number, to: number, count: number): number[] {
    return Array.from({ length: count }, (_, n) => from * (to / from) ** (((n * 7_919) % count) / (count - 1)));
  }

  for (const [title, from, to, maxError] of [
    ['1 µs for times below 1 ms', 1, 1_000, () => 1],
    ['1/64 for times from 1 ms to 1 min', 1_024, 60_000_000, (us: number) => us / 64],
  ] as const) {
    it(`computes the quantiles of a histogram with an error of at most ${title}`, () => {
      const times = timesIn(from, to, 5_000);
      const histogram = histogramOf(times);
      const sorted = [...times].sort((a, b) => a - b);
      for (const share of shares) {
        const exact = sorted[Math.ceil(share * sorted.length) - 1]!;
        expect(histogram.at(share) * 1_000, `${share}`).to.be.within(exact - 0.001, exact + maxError(exact));
      }
      expect(histogram.at(1) * 1_000).to.be.closeTo(to, 0.001);
    });
  }

  it('counts the values of a histogram', () => {
    expect(histogramOf([]).count).to.equal(0);
    expect(histogramOf([1, 1, 5_000]).count).to.equal(3);
  });

  it('returns NaN as the quantile of an empty histogram', () => expect(histogramOf([]).at(0.5)).to.be.NaN);

  it('returns no quantile of a histogram above its maximum', () => {
    const histogram = histogramOf([3, 3_000.5]);
    expect(histogram.at(1)).to.equal(3.0005);
    expect(histogramOf([5_000]).at(0.5)).to.equal(5);
  });

  it('counts a negative time as 0 in a histogram', () => {
    expect(histogramOf([-5]).at(1)).to.be.at.most(0.001);
    expect(histogramOf([-5, 10]).at(0.5)).to.be.at.most(0.001);
  });
});

describe('deliveryIn', () => {
  const delivery = { us: 1_234_567_890, connection: 42, n: 17 };
  const content = contentOf(delivery.us, delivery.connection, delivery.n);
  const ids = {
    id: 5,
    room_id: 3,
    seq: 9,
    emitter: '00000000-0000-0000-0000-00000000000a',
    client_msg_id: null,
    version: 9,
  };
  const dates = { createdAt: '2026-01-01T00:00:00.000Z', updatedAt: '2026-01-01T00:00:00.000Z' };

  function changeOf(more: object = {}): MessageChange {
    const message = { ...ids, content, ...dates, ...more };
    return { kind: 'message', room_id: 3, rev: 123, at: Date.parse(dates.createdAt), message };
  }

  const onSocketio = (change: MessageChange) => {
    const { name, payload } = toChangeEvent(change);
    return `42/rooms,${JSON.stringify([name, payload])}`;
  };

  const frames: Record<string, string> = {
    'a /chat frame': JSON.stringify(toMessageFrame(changeOf())),
    'the echo of a message on /chat': JSON.stringify({
      ...toMessageFrame(changeOf({ client_msg_id: 'mine' })),
      id: 'x',
    }),
    'a Socket.IO event': onSocketio(changeOf()),
  };
  for (const [where, frame] of Object.entries(frames)) {
    it(`reads a delivery from ${where}`, () => expect(deliveryIn(frame)).to.deep.equal({ seq: 9, ...delivery }));
  }

  it('reads deliveries of the baseline servers, and counts seq from 1 in each room', () => {
    const bare = (room_id: number) => JSON.stringify(messageIn(room_id, content));
    const socketio = (room_id: number) => `42/rooms,${JSON.stringify(['message:new', messageIn(room_id, content)])}`;
    for (const [seq, frame] of [
      [1, bare(1)],
      [2, socketio(1)],
      [1, bare(2)],
    ] as const) {
      expect(deliveryIn(frame)).to.deep.equal({ seq, ...delivery });
    }
  });

  it('reads the largest numbers of a delivery without rounding', () => {
    for (const us of [0, 7, 2 ** 52]) {
      const large = { us, connection: 99_999, n: 1_000_000 };
      const change = changeOf({ seq: 123_456_789_012, content: contentOf(us, large.connection, large.n) });
      for (const frame of [JSON.stringify(toMessageFrame(change)), onSocketio(change)]) {
        expect(deliveryIn(frame)).to.deep.equal({ seq: 123_456_789_012, ...large });
      }
    }
  });

  for (const frame of [
    '',
    '2',
    '0{"sid":"a","upgrades":[],"pingInterval":25000}',
    '{"type":"status","data":"READY"}',
    '{"joined":true}',
    '43/rooms,1[{"ok":true,"seq":9}]',
    '{"type":"status","data":"ERROR","reason":"UNAVAILABLE"}',
  ]) {
    it(`reads no delivery from ${frame ? `the frame ${frame}` : 'an empty frame'}`, () =>
      expect(deliveryIn(frame)).to.equal(undefined));
  }

  it('creates contents of 100 characters, which JSON does not escape', () => {
    for (const one of [content, contentOf(0, 0, 0), contentOf(2 ** 52, 99_999, 10_000_000)]) {
      expect(one).to.have.lengthOf(100);
      expect(JSON.stringify(one)).to.equal(`"${one}"`);
    }
  });
});

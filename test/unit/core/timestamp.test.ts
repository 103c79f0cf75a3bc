import { expect } from 'chai';
import { toIsoText } from '../../../src/core/timestamp.ts';

describe('toIsoText', () => {
  const dayMs = 86_400_000;
  const newYear = Date.UTC(2027, 0, 1);
  for (const at of [
    ...[0, 1, -1, -dayMs, dayMs - 1, dayMs, dayMs + 59_999],
    ...[newYear - 1, newYear, newYear + 12 * 3_600_000 + 34 * 60_000 + 56_789, newYear + 0.75],
    ...[Date.UTC(2028, 1, 29, 23, 59, 59, 999), Date.UTC(-1, 0, 1), Date.UTC(12_345, 5, 6, 7, 8, 9, 10), -0.5],
  ]) {
    it(`formats ${at} as Date does`, () => {
      expect(toIsoText(at)).to.equal(new Date(at).toISOString());
    });
  }

  it('throws an error if the time is invalid', () => {
    for (const at of [Number.NaN, Number.POSITIVE_INFINITY, 9e15]) expect(() => toIsoText(at)).to.throw(RangeError);
  });
});

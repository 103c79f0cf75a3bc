import { expect } from 'chai';
import { RowWindow } from '../../../playground/views/row-window.ts';

const messages = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, n) => ({ seq: from + n }));

describe('the rendered part of a long conversation', () => {
  const ends = (window: RowWindow, all: { seq: number }[]) => {
    const rendered = window.of(all);
    return [rendered[0]?.seq, rendered.at(-1)?.seq];
  };

  it('renders the end of the conversation, and follows new messages', () => {
    const window = new RowWindow();
    expect(window.of([])).to.deep.equal([]);
    expect(ends(window, messages(1, 50))).to.deep.equal([1, 50]);
    expect(ends(window, messages(1, 1_000))).to.deep.equal([881, 1_000]);
    expect(ends(window, messages(1, 1_001))).to.deep.equal([882, 1_001]);
  });

  it('keeps the rows that are being read while messages arrive or are loaded', () => {
    const window = new RowWindow();
    window.hold(messages(501, 1_000));
    expect(ends(window, messages(301, 1_100))).to.deep.equal([881, 1_000]);
    expect(window.isAtEnd(messages(301, 1_100))).to.equal(false);
    window.reset();
    expect(ends(window, messages(301, 1_100))).to.deep.equal([981, 1_100]);
  });

  it('moves to either end, and renders at most 280 messages', () => {
    const window = new RowWindow();
    const all = messages(1, 1_000);
    let steps = 0;
    while (window.showEarlier(all)) {
      expect(window.of(all).length).to.be.at.most(280);
      expect(++steps).to.be.below(20);
    }
    expect(ends(window, all)).to.deep.equal([1, 280]);
    while (window.showLater(all)) expect(window.of(all).length).to.be.at.most(280);
    expect(ends(window, all)).to.deep.equal([721, 1_000]);
    expect(window.isAtEnd(all)).to.equal(true);
  });

  it('renders other messages if the rendered messages have been dropped', () => {
    const window = new RowWindow();
    window.hold(messages(1, 100));
    expect(ends(window, messages(500, 1_000))).to.deep.equal([500, 619]);
    window.hold(messages(1, 100));
    expect(ends(window, [])).to.deep.equal([undefined, undefined]);
  });
});

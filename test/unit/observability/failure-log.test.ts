import { mock } from 'node:test';
import { expect } from 'chai';
import { createFailureLog } from '../../../src/observability/failure-log.ts';
import { captureLog } from '../../helpers/captured-log.ts';
import { closeLater } from '../../helpers/cleanup.ts';
import { useFakeClock } from '../../helpers/fake-clock.ts';

const texts = { failing: 'it fails', recovered: 'it is over' };
const withCode = (message: string, code: string) => Object.assign(new Error(message), { code });

describe('the log of a loop that retries', () => {
  it('logs the first failure, every new cause and the recovery, but not the same cause again', () => {
    const { logger, lines } = captureLog();
    const log = createFailureLog(logger, texts);
    for (let n = 0; n < 100; n++) log.failed(new Error('refused'));
    log.failed(withCode('refused', 'ECONNREFUSED'));
    log.failed(new Error('wrapped', { cause: withCode('refused', 'ECONNREFUSED') }));
    log.failed(new Error('wrong password'), { hint: 'look at it' });
    expect(log.recovered()).to.equal(true);
    expect(lines.map(({ msg, err, failures, hint }) => [msg, err?.message, failures, hint])).to.deep.equal([
      ['it fails', 'refused', 1, undefined],
      ['it fails', 'refused', 101, undefined],
      ['it fails', 'wrong password', 103, 'look at it'],
      ['it is over', undefined, 103, undefined],
    ]);
    expect(lines.map(({ level }) => level)).to.deep.equal([40, 40, 40, 30]);
    expect(lines.at(-1)!.forMs).to.be.a('number');
  });

  it('logs a persistent cause again after the interval', () => {
    const pass = useFakeClock();
    closeLater(() => mock.reset());
    const { logger, lines } = captureLog();
    const log = createFailureLog(logger, { ...texts, level: 'error' }, 20);
    for (let ms = 0; ms < 110; ms++) {
      log.failed(new Error('refused'));
      pass(1);
    }
    expect(lines.map(({ forMs }) => forMs)).to.deep.equal([0, 20, 40, 60, 80, 100]);
    expect(lines.every(({ level }) => level === 50)).to.equal(true);
  });

  it('limits its lines for alternating causes, intermittent failures and messages that all differ', () => {
    const { logger, lines } = captureLog();
    const log = createFailureLog(logger, texts);
    for (let n = 0; n < 100; n++) {
      log.failed(new Error(n % 2 ? 'one' : 'other'));
      log.recovered();
    }
    expect(lines.map(({ msg }) => msg)).to.deep.equal(['it fails', 'it is over', 'it fails', 'it is over']);
    for (let n = 0; n < 1_000; n++) log.failed(new Error(`room ${n}`));
    expect(lines.length).to.be.below(25);
  });

  it('logs no recovery without a failure', () => {
    const { logger, lines } = captureLog();
    expect(createFailureLog(logger, texts).recovered()).to.equal(false);
    expect(lines).to.deep.equal([]);
  });
});

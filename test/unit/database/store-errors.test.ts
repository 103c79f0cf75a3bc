import { expect } from 'chai';
import { ChatError } from '../../../src/core/errors.ts';
import {
  affectsAllSessions,
  affectsWrites,
  ConnectionFailed,
  isRejectedStatement,
  isUnavailable,
  rethrowAsUnavailable,
} from '../../../src/database/store-errors.ts';

const answered = (code: string) => Object.assign(new Error(`state ${code}`), { code, severity: 'ERROR' });
const ofSystem = (code: string) => Object.assign(new Error(code), { code });

type Kind =
  /** UNAVAILABLE; the connection is closed. */
  | 'an outage'
  /** Like an outage, but successful reads do not end it. */
  | 'an outage of writes'
  /** Like an outage, but older connections are not used again. */
  | 'an outage of all sessions'
  /** UNAVAILABLE; the connection is kept. */
  | 'a conflict'
  /** INTERNAL or a `ChatError`; the connection is kept. */
  | 'no outage';

const rows: [what: string, error: Error, kind: Kind][] = [
  ['a dropped connection (08006)', answered('08006'), 'an outage of all sessions'],
  ['what a pooler says when it cannot connect (08P01)', answered('08P01'), 'an outage of all sessions'],
  ['a shutdown by the administrator (57P01)', answered('57P01'), 'an outage of all sessions'],
  ['a crash (57P02)', answered('57P02'), 'an outage of all sessions'],
  ['a start or a recovery (57P03)', answered('57P03'), 'an outage of all sessions'],
  ['a dropped database (57P04)', answered('57P04'), 'an outage of all sessions'],
  ['a statement that took too long (57014)', answered('57014'), 'an outage'],
  ['a transaction that was idle for too long (25P03)', answered('25P03'), 'an outage'],
  ['an account that may not log in (28000)', answered('28000'), 'an outage'],
  ['a password that was changed (28P01)', answered('28P01'), 'an outage'],
  ['a database that is not there (3D000)', answered('3D000'), 'an outage'],
  ['a database that takes no connections (55000)', answered('55000'), 'an outage'],
  ['a prepared statement that is gone (26000)', answered('26000'), 'an outage'],
  ['a prepared statement that is there already (42P05)', answered('42P05'), 'an outage'],
  ['a plan that does not fit any more (0A000)', answered('0A000'), 'an outage'],
  ['a full disk (53100)', answered('53100'), 'an outage of writes'],
  ['no memory (53200)', answered('53200'), 'an outage of writes'],
  ['too many connections (53300)', answered('53300'), 'an outage of writes'],
  ['an I/O error (58030)', answered('58030'), 'an outage of writes'],
  ['a missing file (58P01)', answered('58P01'), 'an outage of writes'],
  ['a damaged table (XX001)', answered('XX001'), 'an outage of writes'],
  ['a damaged index (XX002)', answered('XX002'), 'an outage of writes'],
  ['a revoked privilege (42501)', answered('42501'), 'an outage of writes'],
  ['a table that is gone (42P01)', answered('42P01'), 'an outage of writes'],
  ['a function that is gone (42883)', answered('42883'), 'an outage of writes'],
  ['a schema that is gone (3F000)', answered('3F000'), 'an outage of writes'],
  ['no connection: refused', new ConnectionFailed(ofSystem('ECONNREFUSED')), 'an outage'],
  ['no connection: an unknown name', new ConnectionFailed(ofSystem('ENOTFOUND')), 'an outage'],
  ['no connection: no answer from the name server', new ConnectionFailed(ofSystem('EAI_AGAIN')), 'an outage'],
  ['no connection: a certificate that has expired', new ConnectionFailed(ofSystem('CERT_HAS_EXPIRED')), 'an outage'],
  [
    'no connection: a server without TLS',
    new ConnectionFailed(new Error('The server does not support SSL connections')),
    'an outage',
  ],
  ['no connection: a changed password', new ConnectionFailed(answered('28P01')), 'an outage'],
  ['no connection: too many', new ConnectionFailed(answered('53300')), 'an outage'],
  ['a connection that was reset', ofSystem('ECONNRESET'), 'an outage of all sessions'],
  ['a broken TLS session', ofSystem('ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC'), 'an outage of all sessions'],
  ['an answer that did not come', new Error('Query read timeout'), 'an outage of all sessions'],
  ['a connection that ended', new Error('Connection terminated unexpectedly'), 'an outage of all sessions'],
  ['a deadlock (40P01)', answered('40P01'), 'a conflict'],
  ['a serialization failure (40001)', answered('40001'), 'a conflict'],
  ['a lock that was not free in time (55P03)', answered('55P03'), 'a conflict'],
  ['a duplicate (23505)', answered('23505'), 'no outage'],
  ['a value that does not fit (22001)', answered('22001'), 'no outage'],
  ['a syntax error (42601)', answered('42601'), 'no outage'],
  ['rights that have changed (NM001)', answered('NM001'), 'no outage'],
];

describe('Database errors', () => {
  for (const [what, error, kind] of rows) {
    it(`classifies ${what} as ${kind}`, () => {
      // The ORM wraps errors.
      for (const one of [error, new Error('wrapped', { cause: error })]) {
        expect(isUnavailable(one), 'unavailable').to.equal(kind !== 'no outage');
        expect(isRejectedStatement(one), 'the connection stays').to.equal(
          kind === 'a conflict' || kind === 'no outage',
        );
        expect(affectsWrites(one), 'reads tell nothing').to.equal(kind === 'an outage of writes');
        expect(affectsAllSessions(one), 'all sessions').to.equal(kind === 'an outage of all sessions');
      }
    });
  }

  it('classifies a read-only transaction (25006) as an outage of writes and of all sessions, because they lead to a standby', () => {
    const error = answered('25006');
    expect([
      isUnavailable(error),
      isRejectedStatement(error),
      affectsWrites(error),
      affectsAllSessions(error),
    ]).to.deep.equal([...[true, false, true, true]]);
  });

  it('passes a programming error through, and turns an outage into UNAVAILABLE with its cause', () => {
    const defect = new TypeError('x is not a function');
    expect(() => rethrowAsUnavailable(defect)).to.throw(defect as unknown as typeof TypeError);
    const outage = answered('57P01');
    expect(() => rethrowAsUnavailable(outage))
      .to.throw(ChatError)
      .with.deep.include({ code: 'UNAVAILABLE', cause: outage });
  });
});

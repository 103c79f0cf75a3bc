import { createSecretKey } from 'node:crypto';
import { mock } from 'node:test';
import { expect } from 'chai';
import type { Request, Response } from 'express';
import type { Identity } from '../../../../src/auth/identity.ts';
import { createAuthenticator } from '../../../../src/auth/token-verification.ts';
import { ChatError } from '../../../../src/core/errors.ts';
import { authenticateRequest } from '../../../../src/transports/http/authenticate-request.ts';
import { closeLater } from '../../../helpers/cleanup.ts';
import { createUser, testSecret } from '../../../helpers/users.ts';

/** Creates a handler, and counts how many tokens it has verified. */
function stage() {
  const verified: string[] = [];
  const revoked = new Set<string>();
  const authenticator = createAuthenticator({
    keys: { source: 'secrets', secrets: [testSecret] },
    audiences: undefined,
    issuers: undefined,
    isRevoked: ({ actor }) => revoked.has(actor.user),
    onVerified: ({ actor }) => verified.push(actor.user),
  });
  const authenticate = authenticateRequest(authenticator);
  const run = (token: string | undefined) =>
    new Promise<string>((resolve) => {
      const request = { headers: token === undefined ? {} : { authorization: `Bearer ${token}` } } as Request;
      const next = (error?: unknown) =>
        resolve(error ? ChatError.from(error).code : (request.user as Identity).actor.user);
      try {
        void authenticate(request, {} as Response, next);
      } catch (error) {
        next(error);
      }
    });
  return { run, verified, revoked, authenticator };
}

describe('authenticateRequest', () => {
  it('verifies a token once for several requests, and again after half a minute', async () => {
    const started = performance.now();
    const clock = mock.method(performance, 'now', () => started);
    mock.timers.enable({ apis: ['setTimeout'] });
    closeLater(() => {
      mock.timers.reset();
      clock.mock.restore();
    });
    const { run, verified } = stage();
    const [ana, ben] = [createUser(), createUser()];
    for (let n = 0; n < 3; n++) for (const { user, token } of [ana, ben]) expect(await run(token)).to.equal(user);
    expect(verified).to.deep.equal([ana.user, ben.user]);
    clock.mock.mockImplementation(() => started + 31_000);
    // The cache reads the clock once per millisecond.
    mock.timers.tick(1);
    expect(await run(ana.token)).to.equal(ana.user);
    expect(verified).to.deep.equal([ana.user, ben.user, ana.user]);
  });

  it('shares verified tokens with the live transports', async () => {
    const { run, verified, authenticator } = stage();
    const { user, token } = createUser();
    await authenticator.verify(token);
    expect(await run(token)).to.equal(user);
    expect(verified).to.deep.equal([user]);
  });

  it('rejects a verified token as soon as it is revoked', async () => {
    const { run, revoked } = stage();
    const { user, token } = createUser();
    expect(await run(token)).to.equal(user);
    revoked.add(user);
    expect(await run(token)).to.equal('TOKEN_REVOKED');
  });

  it('rejects each request without a token, or with a token that another secret has signed', async () => {
    const { run, verified } = stage();
    const { token } = createUser();
    const forged = `${token.slice(0, token.lastIndexOf('.'))}.${createSecretKey(Buffer.from('x')).export().toString('base64url')}`;
    expect(await run(token)).to.not.equal('UNAUTHENTICATED');
    for (let n = 0; n < 2; n++) {
      expect(await run(forged)).to.equal('UNAUTHENTICATED');
      expect(await run(undefined)).to.equal('UNAUTHENTICATED');
    }
    expect(verified).to.have.length(1);
  });
});

import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { ChatError } from '../../src/index.ts';
import type { RunningServer } from '../../src/server.ts';
import { captureLog } from '../helpers/captured-log.ts';
import { embedded, startNode } from '../helpers/node.ts';

describe('server.admin', () => {
  const log = captureLog();
  let node: RunningServer;
  before(async () => {
    node = await startNode(embedded, { ADMIN_TOKEN: undefined }, undefined, log.logger);
  });

  it('answers as the routes below /admin do, without an ADMIN_TOKEN', async () => {
    const jti = randomUUID();
    const { revocations } = node.admin;
    const created = await revocations.create({ jti });
    expect(created).to.deep.include({ code: 201 });
    expect(await revocations.create({ jti })).to.deep.equal({ code: 200, content: created.content });
    const { content, meta } = await revocations.list({ limit: 1 });
    expect({ content, meta }).to.deep.equal({ content: [created.content], meta: { has_more: false } });
    expect(await revocations.lift(created.content.id)).to.deep.equal({ code: 200, content: null });
  });

  it('rejects with a ChatError that has the code, and names the field', async () => {
    const { revocations } = node.admin;
    const failed = await revocations.create({ jti: '' }).catch((error: unknown) => error);
    expect(failed).to.be.instanceOf(ChatError).and.include({ code: 'BAD_REQUEST', field: 'jti' });
    expect(await revocations.lift(999_999).catch(({ code }) => code)).to.equal('NOT_FOUND');
    expect(await revocations.list({ limit: 0 }).catch(({ field }) => field)).to.equal('limit');
  });

  it('leaves one line in the log for each call', async () => {
    log.lines.length = 0;
    await node.admin.revocations.list();
    await node.admin.revocations.lift('none').catch(() => {});
    const calls = log.startingWith('admin call').map(({ token, operation, status }) => ({ token, operation, status }));
    expect(calls).to.deep.equal([
      { token: 'in process', operation: 'listRevocations', status: 200 },
      { token: 'in process', operation: 'liftRevocation', status: 400 },
    ]);
  });
});

import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { ChatError } from '../../src/index.ts';
import type { RunningServer } from '../../src/server.ts';
import { newKey } from '../helpers/admin-rooms.ts';
import { captureLog } from '../helpers/captured-log.ts';
import { embedded, startNode } from '../helpers/node.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { createUser } from '../helpers/users.ts';

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

  it('creates a room by its key, sets its members, and lists, changes, reads and deletes it', async () => {
    const { rooms, members } = node.admin;
    const key = newKey();
    const ana = createUser();
    const { code, content } = await rooms.put(`key:${key}`, { name: 'Order 42', custom: { order: 42 } });
    expect(code).to.equal(201);
    const { id } = content.room;
    const rules = [{ userUUID: ana.user, permissions: 'rw' }];
    expect(await members.put(id, { rules })).to.deep.equal({
      code: 200,
      content: { added: 1, changed: 0, removed: 0 },
    });
    const socket = await socketClient(node.url, ana);
    await socket.request('room:join', { room_id: `key:${key}` });
    await rooms.change(content.room.uuid, { name: 'Order 42 (sent)' });
    expect(await socket.next('room:changed')).to.deep.include({ by: null });
    const listed = await rooms.list({ user: ana.user, limit: 1 });
    expect({ ids: listed.content.map((room) => room.id), meta: listed.meta }).to.deep.equal({
      ids: [id],
      meta: { next: null },
    });
    const read = await rooms.read(id);
    expect(read.content.room).to.deep.include({ key, name: 'Order 42 (sent)', custom: { order: 42 } });
    expect(read.content.rules).to.have.length(1);
    await rooms.delete(`key:${key}`);
    expect(await socket.next('room:removed')).to.include({ code: 'ROOM_DELETED' });
    expect(await rooms.read(id).catch(({ code }) => code)).to.equal('NOT_FOUND');
    const failed = rooms.put('key:..', { name: 'x' }).catch(({ code, field }) => [code, field]);
    expect(await failed).to.deep.equal(['BAD_REQUEST', 'id']);
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

import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { type CapturedLog, captureLog } from '../helpers/captured-log.ts';
import { postgres, startNode } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { admin, liftRevocation, nowSeconds, revoke } from '../helpers/revocations.ts';
import { createRoom } from '../helpers/rooms.ts';
import { adminToken, createUser } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

/** Returns the fields of each log line with this message. */
const fieldsOf = (log: CapturedLog, msg: string) =>
  log.startingWith(msg).map(({ level, time, pid, hostname, msg: _, ...fields }) => fields);

describe('the audit log', () => {
  let url: string;
  let log: CapturedLog;
  beforeEach(async () => {
    log = captureLog();
    url = (await startNode(postgres, {}, undefined, log.logger)).url;
  });

  it('logs each ban and unban once, with actor, target and room, and logs no other change of a rule', async () => {
    const owner = createUser({ level: 100 });
    const { id: room_id } = await createRoom(url, owner);
    const members = `/rooms/${room_id}/members`;
    const [grantee, entity] = [randomUUID(), randomUUID()];
    const calls = rest(url, owner.token);
    const put = (body: object) => calls.put(members, body);
    await put({ userUUID: grantee, permissions: 'rw' });
    await put({ userUUID: grantee, permissions: 'b' });
    await put({ userUUID: grantee, permissions: 'b' });
    await put({ userUUID: grantee, permissions: 'r' });
    await put({ entityUUID: entity, permissions: 'b' });
    await calls.delete(`${members}/${entity}`);
    await calls.delete(`${members}/${grantee}`);
    const by = { room_id, actor: owner.user, actor_entity: owner.entity };
    expect(fieldsOf(log, 'member banned')).to.deep.equal([
      { ...by, grantee, kind: 'user' },
      { ...by, grantee: entity, kind: 'entity' },
    ]);
    expect(fieldsOf(log, 'member unbanned')).to.deep.equal([
      { ...by, grantee, kind: 'user' },
      { ...by, grantee: entity, kind: 'entity' },
    ]);
  });

  it('logs changes of level_admin and deletions of rooms, and no rejected requests', async () => {
    const owner = createUser({ level: 100 });
    const { id: room_id } = await createRoom(url, owner);
    const calls = rest(url, owner.token);
    const stranger = rest(url, createUser({ level: 100 }).token);
    await calls.patch(`/rooms/${room_id}`, { level_admin: 90 });
    await calls.patch(`/rooms/${room_id}`, { level_admin: 90, name: 'a name that is in no log' });
    await stranger.patch(`/rooms/${room_id}`, { level_admin: 1 });
    await stranger.delete(`/rooms/${room_id}`);
    await calls.delete(`/rooms/${room_id}`);
    const by = { room_id, actor: owner.user, actor_entity: owner.entity };
    expect(fieldsOf(log, 'level_admin changed')).to.deep.equal([{ ...by, from: 100, to: 90 }]);
    expect(fieldsOf(log, 'room deleted')).to.deep.equal([by]);
    expect(JSON.stringify(log.lines)).not.to.include('a name that is in no log');
  });

  it('logs revocations and their removal by id, without a token or jti', async () => {
    const userUUID = randomUUID();
    const jti = `jti-${randomUUID()}`;
    const issued_before = nowSeconds();
    const [ofUser, ofToken] = [await revoke(url, { userUUID, issued_before }), await revoke(url, { jti })];
    await admin(url).post('/admin/revocations', { jti });
    await liftRevocation(url, ofUser as { id: number });
    expect(fieldsOf(log, 'tokens revoked')).to.deep.equal([
      { revocation: ofUser.id, userUUID, issued_before, created: true },
      { revocation: ofToken.id, userUUID: null, issued_before: null, created: true },
      { revocation: ofToken.id, userUUID: null, issued_before: null, created: false },
    ]);
    expect(fieldsOf(log, 'revocation lifted')).to.deep.equal([{ revocation: ofUser.id }]);
    for (const secret of [jti, adminToken]) expect(JSON.stringify(log.lines)).not.to.include(secret);
  });

  it('logs each call below /admin in one line: which token, from where, which operation, which room', async () => {
    const { body } = await admin(url).post('/admin/revocations', { jti: 'one' });
    await admin(url).get('/admin/revocations?limit=0');
    await admin(url).get('/admin/rooms/key%3Aorder-42/unknown');
    await rest(url).get('/admin/openapi.json');
    const by = { token: '560d83bd', address: '127.0.0.1' };
    await waitUntil('the calls are logged', async () => log.startingWith('admin call').length === 3);
    expect(fieldsOf(log, 'admin call')).to.deep.equal([
      { ...by, operation: 'createRevocation', status: 201 },
      { ...by, operation: 'listRevocations', status: 400 },
      { ...by, operation: 'unknown', room: 'key:order-42', status: 404 },
    ]);
    expect(log.startingWith('admin call')[0]!.level).to.equal(30);
    expect(JSON.stringify(log.lines)).not.to.include(adminToken);
    expect(body.meta.code).to.equal(201);
  });

  it('logs each request with a wrong ADMIN_TOKEN in one line, without the token', async () => {
    const guess = 'a guess at the token of the administrator';
    for (const path of ['/admin/revocations', '/admin/unknown']) {
      expect((await rest(url, guess).get(path)).status).to.equal(401);
    }
    const from = { address: '127.0.0.1', method: 'GET' };
    expect(fieldsOf(log, 'ADMIN_TOKEN refused')).to.deep.equal([
      { ...from, path: '/admin/revocations' },
      { ...from, path: '/admin/unknown' },
    ]);
    expect(log.startingWith('ADMIN_TOKEN refused')[0]!.level).to.equal(40);
    expect(JSON.stringify(log.lines)).not.to.include(guess);
  });
});

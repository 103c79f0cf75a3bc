import { expect } from 'chai';
import { parseBusMessage, UnknownChangeKindError } from '../../src/core/log/change.ts';
import { createRoomLog } from '../../src/core/log/room-log.ts';
import { openPglite } from '../../src/database/open-store.ts';
import { chatInRoom } from '../helpers/chat-client.ts';
import { closeLater } from '../helpers/cleanup.ts';
import { databaseSession } from '../helpers/database-session.ts';
import { migratedDirectory } from '../helpers/embedded-template.ts';
import { postgres, startNode } from '../helpers/node.ts';
import { freshDatabase } from '../helpers/postgres.ts';
import { rest } from '../helpers/rest-client.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { createUser } from '../helpers/users.ts';

/**
 * Appends a change of an unknown kind, as a node with a newer version would: with the next `rev`, under the room's
 * lock.
 */
const appendEdit = `with room as (update rooms set last_rev = last_rev + 1, last_change_at = now() where id = $1 returning last_rev)
  insert into room_changes (room_id, rev, kind, body, at)
  select $1, last_rev, 'edit', '{"seq":1,"content":"edited"}', now() from room`;

/** The same in the table of edits, deletions and reactions. */
const appendEntry = `with room as (update rooms set last_rev = last_rev + 1, last_change_at = now() where id = $1 returning last_rev)
  insert into log_entries (room_id, rev, kind, seq, actor, at)
  select $1, last_rev, 99, 1, gen_random_uuid(), now() from room`;

describe('A change of a kind that this version does not know', () => {
  /** Creates a room with a reader on each live transport, and opens a database session. */
  async function roomOnPostgres() {
    const DATABASE_URL = await freshDatabase();
    const node = await startNode(postgres, { DATABASE_URL, SWEEP_SECONDS: 1 });
    const owner = createUser({ level: 100 });
    const reader = createUser();
    const api = rest(node.url, owner.token);
    const room_id: number = (await api.post('/rooms', { name: 'newer' })).body.content.room.id;
    await api.put(`/rooms/${room_id}/members`, { userUUID: reader.user, permissions: 'rw' });
    const session = await databaseSession(DATABASE_URL);
    return { node, api, room_id, reader, write: (sql: string) => session.query(sql, [room_id]) };
  }

  for (const [table, sql] of [
    ['room_changes', appendEdit],
    ['log_entries', appendEntry],
  ] as const)
    it(`makes members reconnect after a change of an unknown kind in ${table}, join again at its head, and enforces bans`, async () => {
      const { node, api, room_id, reader, write } = await roomOnPostgres();
      const before = await socketClient(node.url, reader);
      const { cursor } = await before.request('room:join', { room_id });
      const chat = await chatInRoom(node.url, reader, room_id);
      await write(sql);
      await before.closed;
      await chat.closed;
      const after = await socketClient(node.url, reader);
      expect(await after.request('room:join', { room_id, since: cursor })).to.include({ ok: true, recovered: false });
      const sent = await after.request('message:send', { room_id, content: 'after it' });
      expect(sent.ok).to.equal(true);
      expect(await after.next('message:new')).to.include({ content: 'after it', rev: sent.rev });
      await api.put(`/rooms/${room_id}/members`, { userUUID: reader.user, permissions: 'b' });
      expect(await after.next('room:removed')).to.deep.equal({ room_id, code: 'BANNED' });
      expect(await after.request('message:send', { room_id, content: 'x' })).to.have.nested.property(
        'error.code',
        'BANNED',
      );
    });

  it('omits a change of an unknown kind from history, and returns the messages around it', async () => {
    const { api, room_id, write } = await roomOnPostgres();
    await api.post(`/rooms/${room_id}/messages`, { content: 'before' });
    await write(appendEdit);
    await api.post(`/rooms/${room_id}/messages`, { content: 'after' });
    const { content } = (await api.get(`/rooms/${room_id}/messages`)).body;
    expect(content.map((message: { content: string }) => message.content)).to.deep.equal(['before', 'after']);
  });

  it('reports a change of an unknown kind as an error of the room log on PGlite', async () => {
    const store = await openPglite(await migratedDirectory());
    closeLater(() => store.close());
    const insert = (text: string) => store.query({ name: text, text }, []);
    await insert(`insert into rooms (uuid, name, type, level_admin, user_owner, max_entity_rules, last_rev, last_change_at, created_at, updated_at)
      values (gen_random_uuid(), 'x', 'group', 100, gen_random_uuid(), 10, 1, now(), now(), now())`);
    await insert(
      `insert into room_changes (room_id, rev, kind, body, at) select id, 1, 'edit', '{}', now() from rooms`,
    );
    const [room] = await store.query<{ id: number }>({ name: 'room', text: 'select id::float8 as id from rooms' }, []);
    const error = await createRoomLog(store)
      .changes(room!.id, 1, 1, 10)
      .catch((thrown: unknown) => thrown);
    expect(error).to.be.instanceOf(UnknownChangeKindError);
    expect(error).to.include({ room_id: room!.id, rev: 1, kind: 'edit' });
  });

  it('recognises a change of an unknown kind on the bus, and rejects other values', () => {
    expect(parseBusMessage({ kind: 'edit', room_id: 7, rev: 3, at: 1, edit: {} })).to.deep.equal({
      kind: 'unknown',
      room_id: 7,
    });
    for (const other of [
      null,
      'edit',
      {},
      { kind: 'edit' },
      { kind: 7, room_id: 7 },
      { kind: 'message', room_id: 7 },
      { kind: 'unknown', room_id: 'x' },
    ])
      expect(parseBusMessage(other), JSON.stringify(other)).to.equal(undefined);
  });
});

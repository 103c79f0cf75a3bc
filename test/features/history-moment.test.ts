import { expect } from 'chai';
import { databaseSession } from '../helpers/database-session.ts';
import type { Json } from '../helpers/json.ts';
import { describeBothDatabases, embedded, startNode } from '../helpers/node.ts';
import { freshDatabase } from '../helpers/postgres.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoomWithOwner, sendMessages } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';
import type { TestUser } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const withoutMine = ({ reactions, ...message }: Json) => ({
  ...message,
  ...(reactions?.length > 0 && { reactions: reactions.map(({ emoji, count }: Json) => ({ emoji, count })) }),
});

/** Applies the events after the page, as the protocol describes it. Returns the messages by `seq`. */
function applyChanges(page: Json, events: readonly { name: string; payload: Json }[]): Map<number, Json> {
  const messages = new Map<number, Json>(page.messages.map((message: Json) => [message.seq, withoutMine(message)]));
  const update = (seq: number, change: Json) => messages.set(seq, { ...messages.get(seq), ...change });
  for (const { name, payload } of events) {
    if (payload.rev <= page.rev) continue;
    const { rev: _, cursor: __, root, ...message } = payload;
    const { reactions, replies } = messages.get(payload.seq) ?? {};
    if (name === 'message:new') messages.set(message.seq, message);
    if (name === 'message:changed') {
      const kept = message.deletedAt ? { replies } : { reactions, replies };
      messages.set(message.seq, JSON.parse(JSON.stringify({ ...message, ...kept })));
    }
    if (name === 'reaction:changed') {
      const next = withoutMine({ ...messages.get(payload.seq), reactions: payload.reactions });
      messages.set(payload.seq, next);
    }
    if (root?.replies.count > 0) update(root.seq, { replies: root.replies });
    else if (root) messages.set(root.seq, withoutReplies(messages.get(root.seq)));
  }
  return messages;
}

const withoutReplies = ({ replies: _, ...message }: Json) => message;

describeBothDatabases('A page of history', ({ url }) => {
  it('has every change up to its rev and none after it, while others send, edit, delete, reply and react', async function () {
    this.timeout(60_000);
    const { owner, room } = await createRoomWithOwner(url());
    const room_id: number = room.id;
    await sendMessages(url(), owner, room, ...Array.from({ length: 12 }, (_, n) => `${n}`));
    const events: { name: string; payload: Json }[] = [];
    const observer = await socketClient(url(), owner);
    observer.raw.onAny((name, payload) => void events.push({ name, payload }));
    await observer.request('room:join', { room_id });
    const reader = await socketClient(url(), await createMember(url(), owner, room));
    const writers = [await socketClient(url(), owner), await socketClient(url(), owner)];
    let isWriting = true;
    const write = async (writer: (typeof writers)[number], turn: number) => {
      for (let n = turn; n < 40; n += 2) {
        const seq = (n % 10) + 1;
        await writer.request('message:edit', { room_id, seq, content: `edit ${n}` });
        await writer.request('reaction:add', { room_id, seq, emoji: `${n % 3}` });
        await writer.request('message:send', { room_id, content: 'reply', thread: 12 });
        if (n % 8 === 5) await writer.request('message:delete', { room_id, seqs: [seq] });
        if (n % 3 === 0) await writer.request('reaction:remove', { room_id, seq, emoji: `${n % 3}` });
      }
    };
    const pages: Json[] = [];
    const read = async () => {
      while (isWriting) {
        pages.push(await reader.request('message:history', { room_id, limit: 500 }));
        pages.push(await reader.request('message:history', { room_id, around: 6, limit: 500 }));
      }
    };
    const reading = read();
    await Promise.all(writers.map(write));
    isWriting = false;
    await reading;
    const last = await reader.request('message:history', { room_id, limit: 500 });
    await waitUntil('all changes are delivered', async () => events.at(-1)?.payload.rev === last.rev);
    const present = new Map(last.messages.map((message: Json) => [message.seq, withoutMine(message)]));
    expect(pages.length).to.be.above(5);
    for (const page of pages) expect(applyChanges(page, events)).to.deep.equal(present);
  });
});

describe('A page of history whose statement waits', () => {
  /** Holds back the page, so that the edit commits between the check of the rights and the page. */
  async function holdBack(edit: (session: Json, room: number) => Promise<unknown>) {
    const database = await freshDatabase();
    const node = await startNode(embedded, { DATABASE_URL: database });
    const { owner, room } = await createRoomWithOwner(node.url);
    const person: TestUser = await createMember(node.url, owner, room);
    await sendMessages(node.url, owner, room, 'one', 'two');
    const session = await databaseSession(database);
    const observer = await databaseSession(database);
    await session.query('begin');
    await session.query('lock table messages in access exclusive mode');
    const answer = rest(node.url, person.token).get(`/rooms/${room.id}/messages`);
    await waitUntil('the page waits for the lock', async () => {
      const { rows } = await observer.query(
        `select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`,
      );
      return rows.length > 0;
    });
    await edit(session, room.id);
    await session.query('commit');
    return { answer: await answer, owner, person, room };
  }

  it('has the head of the log that belongs to its messages', async function () {
    this.timeout(60_000);
    const { answer } = await holdBack(async (session, room) => {
      await session.query(
        `update messages set content = 'edited', version = r.last_rev + 1 from rooms r where r.id = room_id and room_id = $1 and seq = 1`,
        [room],
      );
      await session.query('update rooms set last_rev = last_rev + 1, last_change_at = now() where id = $1', [room]);
    });
    const [edited] = answer.body.content;
    expect(edited.content).to.equal('edited');
    expect(answer.body.meta.rev).to.equal(edited.version);
  });

  it('is not shown to a user who was banned meanwhile', async function () {
    this.timeout(60_000);
    const { answer } = await holdBack(async (session, room) => {
      await session.query(`update permission_rules set permissions = 'b' where room_id = $1 and permissions = 'rw'`, [
        room,
      ]);
      await session.query(
        'update rooms set last_rev = last_rev + 1, rights_rev = last_rev + 1, last_change_at = now() where id = $1',
        [room],
      );
    });
    expect(answer.body.meta).to.include({ reason: 'BANNED' });
  });
});

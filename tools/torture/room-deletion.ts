import { setTimeout as delay } from 'node:timers/promises';
import { restCalls } from '../../test/helpers/rest-calls.ts';
import { createUser } from '../../test/helpers/users.ts';
import type { Random } from '../fuzz/random.ts';
import { chatDial } from './chat-connection.ts';
import type { ConnectionEvents, Dial } from './connection.ts';
import type { DeletedRoom, Evidence, RoomListener } from './record.ts';
import { withDatabase } from './room-history.ts';
import { socketioDial } from './socketio-connection.ts';

const requestMs = 25_000;
const joinMs = 5_000;
/** How long requests are sent after the deletion was acknowledged. */
const afterwardsMs = 2_000;
const messages = 40;

type Method = 'get' | 'post' | 'delete';

/** Creates a room, and deletes it while a user writes in it and two of their connections listen. */
export async function deleteRoom(urls: string[], evidence: Evidence, random: Random): Promise<void> {
  const { user, token } = createUser({ level: 100 });
  const ask = async (url: string, method: Method, path: string, body?: object) => {
    const deadline = delay(requestMs, undefined, { ref: false });
    const answer = restCalls(url, token)[method](path, body as never);
    return Promise.race([answer.catch(() => undefined), deadline]);
  };
  /** Repeats the request, at any node, until it succeeds. */
  const insist = async (method: Method, path: string, body?: object) => {
    for (let tries = 1; ; tries++) {
      const answer = await ask(random.pick(urls), method, path, body);
      if (answer && (answer.status < 300 || (method === 'delete' && tries > 1 && answer.status === 404)))
        return answer.body;
      await delay(100 + random.int(200));
    }
  };

  const { content } = await insist('post', '/rooms', { name: 'to be deleted' });
  const deleted: DeletedRoom = { room: content.room.id, deletedAt: undefined, answers: [], listeners: [] };
  const { room, answers, listeners } = deleted;
  evidence.deletedRooms.push(deleted);
  const dials: Record<string, Dial> = { 'Socket.IO': socketioDial(['websocket']), '/chat': chatDial(user, true) };
  for (const [name, dial] of Object.entries(dials)) {
    const listener = await listen(name, (events) => dial(random.pick(urls), token, events), room, evidence);
    if (listener) listeners.push(listener);
  }

  let isOver = false;
  const request = async (url: string, method: Method, path: string, body?: object) => {
    const askedAt = performance.now();
    const answer = await ask(url, method, path, body);
    if (answer) answers.push({ what: `${method} ${path}`, askedAt, status: answer.status });
  };
  const send = async () => {
    while (!isOver) {
      await request(random.pick(urls), 'post', `/rooms/${room}/messages`, { content: 'hello' });
      await delay(random.int(20));
    }
  };
  const sending = [send(), send()];
  await Promise.race([delay(messages * 50), ...sending]);
  await insist('delete', `/rooms/${room}`);
  deleted.deletedAt = performance.now();
  await Promise.all(
    urls.flatMap((url) => [
      request(url, 'get', `/rooms/${room}`),
      request(url, 'get', `/rooms/${room}/messages`),
      request(url, 'post', `/rooms/${room}/messages`, { content: 'too late' }),
    ]),
  );
  await delay(afterwardsMs);
  isOver = true;
  await Promise.all(sending);
}

/** Joins the room with a new connection. Undefined if it cannot, because a node fails meanwhile. */
async function listen(
  name: string,
  dial: (events: ConnectionEvents) => ReturnType<Dial>,
  room: number,
  evidence: Evidence,
): Promise<RoomListener | undefined> {
  const listener: RoomListener = { name, revs: [], from: 0, removal: undefined, hasEnded: false };
  const ignore = () => {};
  return new Promise((resolve) => {
    const connection = dial({
      ...{ stored: ignore, refused: ignore, notYet: ignore, inboxItems: ignore, inboxRemoved: ignore },
      ...{ readsChanged: ignore, presenceChanged: ignore, typingChanged: ignore },
      ready() {
        connection.join(room, { since: undefined, withPresence: false }, (joined) => {
          if (!joined.ok) return;
          listener.from = joined.rev;
          resolve(listener);
        });
      },
      received: ({ rev }) => void listener.revs.push(rev),
      removed(_room, code) {
        listener.removal = { code, after: listener.revs.length };
      },
      ended() {
        listener.hasEnded = true;
        resolve(undefined);
      },
      violation: (what) => void evidence.violations.push({ fault: 'protocol', what: `a listener on ${name}: ${what}` }),
    });
    setTimeout(() => resolve(undefined), joinMs).unref();
  });
}

/** The journal, and what the webhooks need to deliver the deletion, outlive the room. */
const outlives = ['touches', 'events', 'webhook_positions', 'webhook_refusals'];

/** What is left of these rooms in the database. */
export async function findRowsOf(url: string, rooms: readonly number[]): Promise<string[]> {
  if (rooms.length === 0) return [];
  return withDatabase(url, async (database) => {
    const { rows: tables } = await database.query<{ name: string }>(
      `select quote_ident(table_name) as name from information_schema.columns
        where table_schema = 'public' and column_name = 'room_id' and table_name <> all($1)`,
      [outlives],
    );
    const found = await database.query<{ room: string; name: string; count: string }>(
      tables
        .map(
          ({ name }) =>
            `select room_id as room, '${name}' as name, count(*) from ${name} where room_id = any($1) group by 1`,
        )
        .join(' union all '),
      [rooms],
    );
    return found.rows.map(({ room, name, count }) => `the deleted room ${room} has ${count} rows in ${name}`);
  });
}

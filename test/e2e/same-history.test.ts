import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import type { ClientRoom, ClientThread, Message } from '../../src/client/client.ts';
import { type Random, random } from '../../tools/fuzz/random.ts';
import { authenticatedChat, type ChatClient, type Frame } from '../helpers/chat-client.ts';
import { createClient } from '../helpers/client.ts';
import { databaseSession } from '../helpers/database-session.ts';
import type { Json } from '../helpers/json.ts';
import { sharded, startNode } from '../helpers/node.ts';
import { freshDatabase } from '../helpers/postgres.ts';
import { runProgram } from '../helpers/program.ts';
import { python, withPythonClient } from '../helpers/python.ts';
import { sharedRedis } from '../helpers/redis.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoomWithOwner, readRev, sendMessages } from '../helpers/rooms.ts';
import { nodeProxy } from '../helpers/tcp-proxy.ts';
import type { TestUser } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

/** A message as the user sees it. */
interface Row {
  seq: number;
  content: string;
  version: number;
  deleted: boolean;
  thread: number | null;
  reply_to: number | null;
  reactions: [emoji: string, count: number, mine: boolean][];
  replies: [count: number, last_seq: number];
}

/** A device of the user, which is away for a time. */
interface Device {
  cut(): Promise<void>;
  /** Continues from its position. Returns whether the service replayed what it missed. */
  comeBack(): Promise<boolean>;
  /** The timeline, as soon as it has every change up to `rev`. */
  read(rev: number): Promise<Row[]>;
}

const script = fileURLToPath(new URL('../helpers/python_timeline.py', import.meta.url));
const roots = [1, 2, 3];

async function typescriptDevice(url: string, person: TestUser, room_id: number): Promise<Device> {
  const proxy = await nodeProxy(url);
  const room: ClientRoom = createClient(proxy.url, person, { keep: 1_000 }).room(room_id);
  await room.joined();
  const threads: ClientThread[] = roots.map((seq) => room.thread(seq));
  for (const thread of threads) thread.on('change', () => {});
  const areLoaded = () => threads.every(({ hasOlder }) => !hasOlder);
  await waitUntil('the threads are loaded', areLoaded);
  let resets = 0;
  room.on('reset', () => void resets++);
  const toRow = ({ seq, content, version, deletedAt, thread, reply_to, reactions, replies }: Message): Row => ({
    ...{ seq, content, version, deleted: deletedAt !== null, thread, reply_to },
    reactions: reactions.map(({ emoji, count, mine = false }) => [emoji, count, mine]),
    replies: [replies.count, replies.last_seq],
  });
  return {
    async cut() {
      proxy.cut();
      await waitUntil('the client has noticed it', () => room.state === 'reconnecting');
    },
    async comeBack() {
      proxy.restore();
      await waitUntil('the client is back', () => room.state === 'joined');
      return resets === 0;
    },
    async read(rev) {
      const isUpToDate = () => room.rev >= rev && areLoaded();
      await waitUntil(`the client is at ${rev}`, isUpToDate, 15_000);
      const messages = [room.messages, ...threads.map((thread) => thread.messages)].flat();
      return messages.map(toRow).sort((a, b) => a.seq - b.seq);
    },
  };
}

async function pythonDevice(url: string, { token, user }: TestUser, room_id: number): Promise<Device> {
  const program = runProgram(python, [script, url, token, user, String(room_id)]);
  let asked = 0;
  async function command(words: string): Promise<Json> {
    asked += 1;
    program.type(words);
    const answered = waitUntil(words, () => program.lines().length >= asked, 20_000);
    await Promise.race([answered, program.exited]);
    const line = program.lines()[asked - 1];
    if (line === undefined) throw new Error(`The Python client ended: ${program.errors()}`);
    return JSON.parse(line);
  }
  await command('join');
  return {
    cut: () => command('cut'),
    comeBack: async () => (await command('join')).recovered,
    read: async (rev) => (await command(`until ${rev}`)).rows,
  };
}

/** A WebSocket on `/chat` with `events`, without any library, by the rules of docs/protocol/log-and-cursors.md. */
async function chatDevice(url: string, person: TestUser, room_id: number): Promise<Device> {
  const known = new Map<number, { message: Json; reactions: Row['reactions']; replies: Json }>();
  let have = 0;
  let cursor: string | undefined;
  let chat: ChatClient;

  /** `isOwn`: the reactions were marked for this user. */
  function apply({ type, data }: Frame, isOwn: boolean): void {
    const { seq, root, changes = [], replies } = data;
    if (type.startsWith('message')) {
      const before = known.get(seq);
      if (!before) known.set(seq, { message: data, reactions: [], replies: { count: 0, last_seq: 0 } });
      else if (data.version > before.message.version) before.message = data;
    }
    const entry = known.get(seq);
    if (entry && (data.reactions || type === 'message')) {
      const marked: Json[] = isOwn
        ? (data.reactions ?? [])
        : entry.reactions.map(([emoji, , mine]) => ({ emoji, mine }));
      const mine = new Set(marked.filter((reaction) => reaction.mine).map(({ emoji }) => emoji));
      for (const { user, emoji, added } of isOwn ? [] : changes) {
        if (user === person.user) mine[added ? 'add' : 'delete'](emoji);
      }
      entry.reactions = (data.reactions ?? []).map(({ emoji, count }: Json) => [emoji, count, mine.has(emoji)]);
    }
    if (entry && replies) entry.replies = replies;
    if (root) known.get(root.seq)!.replies = root.replies;
  }

  function receive(frame: Frame, isOwn: boolean): void {
    if (frame.rev === undefined || frame.rev <= have) return;
    if (frame.rev !== have + 1) throw new Error(`After ${have} came ${frame.rev}`);
    apply(frame, isOwn);
    ({ rev: have, cursor } = frame);
  }

  async function select(): Promise<boolean> {
    chat = await authenticatedChat(url, person);
    chat.send({ type: 'select_room', room_id, events: true, ...(cursor && { since: cursor }) });
    const connected = await chat.next();
    if (connected.recovered) {
      while (have < connected.rev) receive(await chat.next(), true);
      return true;
    }
    chat.send({ type: 'get_past_messages', limit: 500, id: 'page' });
    const held: Frame[] = [];
    for (;;) {
      const frame = await chat.next();
      if (frame.history) apply(frame, true);
      else if (frame.data === 'HISTORY') {
        ({ rev: have, cursor } = frame);
        break;
      } else held.push(frame);
    }
    for (const frame of held) receive(frame, false);
    return false;
  }

  await select();
  return {
    async cut() {
      while (chat.unread.length > 0) receive(await chat.next(), false);
      chat.socket.terminate();
      await chat.closed;
    },
    comeBack: select,
    async read(rev) {
      while (have < rev) receive(await chat.next(), false);
      const rows = [...known.values()].map(({ message, reactions, replies }): Row => {
        const { seq, content, version, deletedAt, thread = null, reply_to = null } = message;
        const shown = deletedAt ? [] : reactions;
        const deleted = deletedAt !== undefined;
        return {
          seq,
          content,
          version,
          deleted,
          thread,
          reply_to,
          reactions: shown,
          replies: [replies.count, replies.last_seq],
        };
      });
      return rows.sort((a, b) => a.seq - b.seq);
    },
  };
}

async function readDatabase(databaseUrl: string, room_id: number, user: string): Promise<Row[]> {
  const session = await databaseSession(databaseUrl);
  const { rows } = await session.query(
    `select m.seq::int, m.content, coalesce(m.version, m.rev)::int as version, m.deleted_at is not null as deleted,
      m.thread::int, m.reply_to::int,
      coalesce((select json_agg(json_build_array(c.emoji, c.count, exists (select from reactions r
          where r.room_id = c.room_id and r.seq = c.seq and r.emoji = c.emoji and r.user_uuid = $2))
        order by c.first_rev, c.first_n) from reaction_counts c
        where c.room_id = m.room_id and c.seq = m.seq and c.count > 0), '[]') as reactions,
      json_build_array(coalesce(t.count, 0), coalesce(t.last_seq, 0)) as replies
    from messages m left join threads t on t.room_id = m.room_id and t.root = m.seq where m.room_id = $1 order by m.seq`,
    [room_id, user],
  );
  return rows;
}

const emojis = ['👍', '🎉', '❤️'];

/** One of many users who send, reply, quote, edit, delete and react at the same time. Counts what was accepted. */
async function talk(url: string, person: TestUser, room_id: number, choice: Random, accepted: Map<string, number>) {
  const api = rest(url, person.token);
  const path = `/rooms/${room_id}/messages`;
  const own: number[] = [];
  const send = async (fields: object) => {
    const answer = await api.post(path, { content: `text ${choice.int(1_000_000)}`, ...fields });
    if (answer.status === 201) own.push(answer.body.content.seq);
    return answer;
  };
  const known = () => 1 + choice.int(Math.max(3, own.at(-1) ?? 3));
  const emoji = () => encodeURIComponent(choice.pick(emojis));
  const acts = {
    send: () => send({}),
    reply: () => send({ thread: choice.pick(roots) }),
    quote: () => send({ reply_to: known() }),
    edit: () => api.patch(`${path}/${choice.pick(own)}`, { content: `edited ${choice.int(1_000_000)}` }),
    delete: () => api.delete(`${path}/${choice.pick(own)}`),
    react: () => api.put(`${path}/${known()}/reactions/${emoji()}`),
    unreact: () => api.delete(`${path}/${known()}/reactions/${emoji()}`),
  };
  const names = Object.keys(acts) as (keyof typeof acts)[];
  await send({});
  for (let n = 0; n < 14; n++) {
    const name = choice.pick(names);
    const { status } = await acts[name]();
    if (status < 300) accepted.set(name, (accepted.get(name) ?? 0) + 1);
    // Another user may have deleted the message.
    else expect(status, name).to.be.oneOf([404, 409]);
  }
}

describe('one history in three clients, on two nodes with PostgreSQL', function () {
  this.timeout(60_000);
  withPythonClient();

  it('is the same in the TypeScript client, in Python and on a bare WebSocket, which were all away, and in the database', async () => {
    const settings = { DATABASE_URL: await freshDatabase(), REDIS_URL: await sharedRedis() };
    const [here, there] = [await startNode(sharded, settings), await startNode(sharded, settings)];
    const { owner, room } = await createRoomWithOwner(here.url);
    await sendMessages(here.url, owner, room, ...roots.map((seq) => `root ${seq}`));
    const people = await Promise.all(Array.from({ length: 4 }, () => createMember(here.url, owner, room)));
    // The user of the devices reacts and writes, too.
    const [ana] = people as [TestUser];
    const devices: Record<string, Device> = {
      typescript: await typescriptDevice(here.url, ana, room.id),
      python: await pythonDevice(there.url, ana, room.id),
      'a bare WebSocket': await chatDevice(there.url, ana, room.id),
    };
    const accepted = new Map<string, number>();
    let seed = 1;
    const talkAll = () =>
      Promise.all(
        people.map((person, n) => talk([here, there][n % 2]!.url, person, room.id, random(seed++), accepted)),
      );

    await talkAll();
    await Promise.all(Object.values(devices).map((device) => device.cut()));
    await talkAll();
    const talking = talkAll();
    for (const [name, device] of Object.entries(devices)) expect(await device.comeBack(), name).to.equal(true);
    await talking;

    const rev = await readRev(here.url, owner, room);
    const stored = await readDatabase(settings.DATABASE_URL, room.id, ana.user);
    for (const [name, device] of Object.entries(devices)) {
      expect(await device.read(rev), name).to.deep.equal(stored);
    }
    expect([...accepted.keys()].sort(), 'what happened').to.deep.equal([
      'delete',
      'edit',
      'quote',
      'react',
      'reply',
      'send',
      'unreact',
    ]);
    for (const what of [
      stored.some(({ reactions }) => reactions.some(([, , mine]) => mine)),
      stored.some(({ replies: [count] }) => count > 0),
      stored.some(({ deleted }) => deleted),
      stored.some(({ version, deleted, content }) => !deleted && version > 0 && content.startsWith('edited')),
    ])
      expect(what).to.equal(true);
  });
});

import { existsSync } from 'node:fs';
import { expect } from 'chai';
import { io, type Socket } from 'socket.io-client';
import { chatClient } from '../helpers/chat-client.ts';
import { closeLater } from '../helpers/cleanup.ts';
import { frameQueue } from '../helpers/frame-queue.ts';
import type { Json } from '../helpers/json.ts';
import { codesIn, fences, readDocument, section, tableRows } from '../helpers/markdown.ts';
import { describeOneWiring } from '../helpers/node.ts';
import { runProgram } from '../helpers/program.ts';
import { rest } from '../helpers/rest-client.ts';
import { createRoom, putRule, sendMessages } from '../helpers/rooms.ts';
import { type SocketClient, socketClient } from '../helpers/socket-client.ts';
import { createUser, type TestUser } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const people = {
  ana: 'aaaaaaaa-0000-4000-8000-000000000001',
  ben: 'bbbbbbbb-0000-4000-8000-000000000002',
  cleo: 'cccccccc-0000-4000-8000-000000000003',
  entity: 'eeeeeeee-0000-4000-8000-000000000009',
};

interface Step {
  by: 'Client' | 'Server' | 'Ack' | 'narrator';
  /** Packet types of Socket.IO. */
  event: string | undefined;
  value: Json;
  text: string;
}

/** The numbered lines of a session on a page. */
function stepsOf(page: string): Step[] {
  const lines = section(readDocument(`docs/protocol/${page}`), '## A session').match(/^\d+\. .*$/gm) ?? [];
  return lines.map((line) => {
    const text = line.replace(/^\d+\. /, '');
    const [, by, event, json] = /^(Client|Server|Ack): (?:`([a-z:]+)` )?`(\{.*\})`$/.exec(text) ?? [];
    if (!by) return { by: 'narrator', event, value: undefined, text };
    return { by: by as Step['by'], event, value: JSON.parse(json!), text };
  });
}

/** The room at the start of the first session: at `rev` 6, with one message. */
async function createStory(url: string) {
  const ana = createUser({ level: 100 });
  const [ben, cleo] = [createUser(), createUser()];
  const room = await createRoom(url, ana, { name: 'Launch' });
  await putRule(url, ana, room, { userUUID: ben.user, permissions: 'rw' });
  const invitation = await rest(url, ben.token).put(`/rooms/${room.id}/invitation`, { accepted: true });
  expect(invitation.status).to.equal(200);
  const first = { content: 'Fueled up and ready to go', client_msg_id: 'k3f9' };
  expect((await rest(url, ana.token).post(`/rooms/${room.id}/messages`, first)).status).to.equal(201);
  const rename = async (name: string) => {
    expect((await rest(url, ana.token).patch(`/rooms/${room.id}`, { name })).status).to.equal(200);
  };
  for (const name of ['Launch day', 'Launch', 'Launch day']) await rename(name);

  const names: [real: string, shown: string][] = [
    [ana.user, people.ana],
    [ben.user, people.ben],
    [cleo.user, people.cleo],
    [ana.entity, people.entity],
  ];
  /** Replaces users and the room by those of the page, and drops what differs at each run. */
  const asShown = (value: unknown): unknown => {
    const text = JSON.stringify(withoutChance(value, room.id));
    return JSON.parse(names.reduce((result, [real, shown]) => result.replaceAll(real, shown), text));
  };
  return { ana, ben, cleo, room, rename, asShown };
}

/** Replaces times, generated UUIDs and numbers, and keeps the `rev` of a cursor. */
function withoutChance(value: unknown, roomId: number): unknown {
  return JSON.parse(JSON.stringify(value), (key, entry) => {
    if (/^(created|updated|edited|deleted|activity)At$/.test(key)) return 'a time';
    if (key === 'cursor') return `the cursor of ${Number.parseInt(entry.split('.')[1], 36)}`;
    if (key === 'uuid') return 'a UUID';
    if (key === 'room_id' && entry === roomId) return 1;
    // Message ids are shared by all rooms.
    if (entry?.emitter) return { ...entry, id: 'a number' };
    if (entry?.user_owner) return { ...entry, id: 'a number' };
    return entry;
  });
}

describeOneWiring('The sessions in docs/protocol', ({ url }) => {
  it('run on /chat as chat.md shows', async () => {
    const { ana, ben, room, asShown } = await createStory(url());
    const chat = await chatClient(url());
    let compared = 0;
    let bans = 0;
    for (const { by, value, text } of stepsOf('chat.md')) {
      if (by === 'Client') {
        if (value.type === 'token') value.content = ben.token;
        if (value.type === 'select_room') value.room_id = room.id;
        chat.send(value);
      } else if (by === 'Server') {
        expect(asShown(await chat.next())).to.deep.equal(withoutChance(value, room.id));
        compared++;
      } else if (text.startsWith('Ana edits')) {
        const edit = { content: 'Fueled up, ready to go' };
        const { status } = await rest(url(), ana.token).patch(`/rooms/${room.id}/messages/1`, edit);
        expect(status).to.equal(200);
      } else if (text.startsWith('Ana bans Ben')) {
        await putRule(url(), ana, room, { userUUID: ben.user, permissions: 'b' });
        bans++;
      } else if (text.startsWith('The server closes with')) {
        expect(await chat.closed).to.equal(Number(/\d+/.exec(text)![0]));
        compared++;
      }
    }
    expect({ compared, bans }).to.deep.equal({ compared: 12, bans: 1 });
  });

  it('run on Socket.IO as socketio.md shows', async () => {
    const { ana, ben, cleo, room, rename, asShown } = await createStory(url());
    await sendMessages(url(), ben, room, 'Go!');
    await putRule(url(), ana, room, { userUUID: ben.user, permissions: 'b' });
    await putRule(url(), ana, room, { userUUID: ben.user, permissions: 'rw' });
    await sendMessages(url(), ana, room, 'Ready?');

    let socket: SocketClient | undefined;
    let ack: Json;
    let cursor = '';
    let compared = 0;
    const happenings: [start: string, happens: () => Promise<unknown>][] = [
      ['Ben connects', async () => (socket = await socketClient(url(), ben))],
      [
        'The connection breaks',
        async () => {
          socket!.raw.disconnect();
          await rename('Launch');
        },
      ],
      ['The client reconnects', async () => (socket = await socketClient(url(), ben))],
      ['Ana invites Cleo', () => putRule(url(), ana, room, { userUUID: cleo.user, permissions: 'r' })],
      ['Ana deletes the room', () => rest(url(), ana.token).delete(`/rooms/${room.id}`)],
    ];
    const left = new Set(happenings.map(([start]) => start));
    for (const { by, event, value, text } of stepsOf('socketio.md')) {
      const shown = withoutChance(value ?? null, room.id);
      if (by === 'Client') {
        const payload = { ...value, room_id: room.id, ...(value.since && { since: cursor }) };
        ack = await socket!.request(event as 'room:join', payload);
        if (event === 'room:join') cursor = ack.cursor;
      } else if (by === 'Ack') {
        expect(asShown(ack)).to.deep.equal(shown);
        compared++;
      } else if (by === 'Server') {
        expect(asShown(await socket!.next(event))).to.deep.equal(shown);
        compared++;
      } else {
        const [start, happens] = happenings.find(([start]) => text.startsWith(start)) ?? [];
        await happens?.();
        left.delete(start!);
      }
    }
    expect({ compared, left: [...left] }).to.deep.equal({ compared: 5, left: [] });
  });
});

/** Collects the cursors in what a server has sent, by their `rev`. */
function collectCursors(value: Json, cursors: Map<number, string>): void {
  JSON.stringify(value, (key, entry) => {
    if (key === 'cursor') cursors.set(revOfCursor(entry), entry);
    return entry;
  });
}

const revOfCursor = (cursor: string) => Number.parseInt(cursor.split('.')[1]!, 36);

describeOneWiring('The sessions of the features in docs/protocol', ({ url }) => {
  for (const [name, comparisons] of Object.entries({
    'edits.md': 6,
    'reactions.md': 5,
    'threads-and-mentions.md': 4,
    'reads.md': 5,
    'typing.md': 3,
  })) {
    it(`run on Socket.IO as features/${name} shows`, async () => {
      const { ana, ben, room, asShown } = await createStory(url());
      const users: Record<string, TestUser> = { Ana: ana, Ben: ben };
      const cursors = new Map<number, string>();
      let socket!: SocketClient;
      let ack: Json;
      let compared = 0;
      const happenings: [start: RegExp, happens: (...names: string[]) => Promise<unknown>][] = [
        [
          /^(\w+) is in the room/,
          async (user) => {
            socket = await socketClient(url(), users[user!]!);
            collectCursors(await socket.request('room:join', { room_id: room.id }), cursors);
          },
        ],
        [/^The client is now (\w+)'s/, async (user) => (socket = await socketClient(url(), users[user!]!))],
        [/^(\w+) sends `(.+)`/, (user, content) => sendMessages(url(), users[user!]!, room, content!)],
        [
          /^(\w+) reacts with `(.+)`/,
          (user, emoji) => rest(url(), users[user!]!.token).put(`/rooms/${room.id}/messages/1/reactions/${emoji}`),
        ],
      ];
      for (const { by, event, value, text } of stepsOf(`features/${name}`)) {
        if (by === 'Client') {
          const since = value.since && { since: cursors.get(revOfCursor(value.since)) };
          const mentions = value.mentions && { mentions: [ana.user] };
          ack = await socket.request(event as 'room:join', { ...value, room_id: room.id, ...since, ...mentions });
          collectCursors(ack, cursors);
        } else if (by === 'narrator') {
          for (const [start, happens] of happenings) {
            const [found, ...names] = start.exec(text) ?? [];
            if (found) await happens(...names);
          }
        } else {
          const received = by === 'Ack' ? ack : await socket.next(event);
          expect(asShown(received), text).to.deep.equal(withoutChance(value, room.id));
          compared++;
        }
      }
      expect(compared).to.equal(comparisons);
    });
  }
});

/** The inline code of a page that starts with this text. */
function inlineCodeIn(page: string, start: string): string {
  return codesIn(readDocument(`docs/protocol/${page}`)).find((code) => code.startsWith(start))!;
}

/** The first block of code in a section of a page. */
function codeIn(page: string, heading: string, language: string): string {
  const code = fences(section(readDocument(`docs/protocol/${page}`), heading)).find((one) => one.language === language);
  return code!.text;
}

describeOneWiring('The code in docs/protocol', ({ url }) => {
  it('keeps a room complete on Socket.IO when the connection breaks', async () => {
    const ana = createUser({ level: 100 });
    const room = await createRoom(url(), ana);
    await sendMessages(url(), ana, room, 'one', 'two');

    const shown: string[] = [];
    const pages: string[][] = [];
    const apply = (_name: string, change: Json) => shown.push(change.content ?? change.room.name);
    const showPage = (messages: Json[]) => {
      pages.push(messages.map(({ content }) => content));
    };
    const here = (address: string, options: object) =>
      io(address.replace('https://chat.example', url()), { ...options, forceNew: true, reconnectionDelay: 10 });
    const program = new Function(
      ...['io', 'freshToken', 'room_id', 'apply', 'showPage', 'onJoined'],
      `${codeIn('socketio.md', '## Connecting', 'js')}
      ${codeIn('log-and-cursors.md', '## Applying live changes', 'js')}
      ${codeIn('log-and-cursors.md', '## Recovering after a disconnect', 'js')}
      async function request(name, payload) {
        const answer = await socket.timeout(5000).emitWithAck(name, payload);
        if (!answer.ok) throw answer.error;
        return answer;
      }
      ${inlineCodeIn('log-and-cursors.md', 'socket.onAny(')};
      socket.on('connect', () => joinAgain().then(onJoined));
      return socket;`,
    );
    let joins = 0;
    const onJoined = () => joins++;
    const socket: Socket = program(here, async () => ana.token, room.id, apply, showPage, onJoined);
    closeLater(() => socket.disconnect());
    await waitUntil('the room is joined', () => joins === 1);
    await sendMessages(url(), ana, room, 'three');
    await waitUntil('the message is applied', () => shown.length === 1);

    socket.io.engine.close();
    await sendMessages(url(), ana, room, 'four');
    await rest(url(), ana.token).patch(`/rooms/${room.id}`, { name: 'another name' });
    await waitUntil('the room is joined again', () => joins === 2);
    await sendMessages(url(), ana, room, 'five');
    await waitUntil('the last message is applied', () => shown.includes('five'));
    expect(pages).to.deep.equal([['one', 'two']]);
    expect(shown).to.deep.equal(['three', 'four', 'another name', 'five']);
  });

  it('sends a message on /chat', async () => {
    const ana = createUser({ level: 100 });
    const room = await createRoom(url(), ana);
    const frames: Json[] = [];
    function Here(address: string) {
      const socket = new WebSocket(address.replace('wss://chat.example', url().replace(/^http/, 'ws')));
      closeLater(() => socket.close());
      return socket;
    }
    const start = new Function('WebSocket', 'token', 'room_id', 'show', codeIn('chat.md', '## A first session', 'js'));
    start(Here, ana.token, room.id, (frame: Json) => frames.push(frame));
    await waitUntil('the message is echoed', () => frames.length === 4);
    expect(frames.map(({ data }) => data.content ?? data)).to.deep.equal(['START?', 'READY', 'CONNECTED', 'Go!']);
  });

  it('creates and lists rooms over REST', async function () {
    if (!existsSync('/usr/bin/curl')) this.skip();
    const env = { CHAT_URL: url(), CHAT_TOKEN: createUser({ level: 100 }).token };
    const program = runProgram('bash', ['-ec', codeIn('rest.md', '## Requests', 'sh')], env);
    expect(await program.exited).to.equal(0);
    const answers = program.output().replaceAll('}{', '}\n{').split('\n');
    const [created, listed] = answers.map((line) => JSON.parse(line));
    expect(created.content.room.name).to.equal('Launch');
    expect(listed.content.map(({ name }: Json) => name)).to.deep.equal(['Launch']);
  });

  it('speaks Socket.IO without a library, in the frames that socketio.md lists', async () => {
    const ana = createUser({ level: 100 });
    const room = await createRoom(url(), ana);
    const rows = tableRows(section(readDocument('docs/protocol/socketio.md'), '## Without a library')).slice(1);
    const connect = () => {
      const frames = frameQueue<string>();
      const socket = new WebSocket(`${url().replace(/^http/, 'ws')}/socket.io/?EIO=4&transport=websocket`);
      closeLater(() => socket.close());
      socket.onmessage = ({ data }) => frames.push(data);
      return { socket, frames };
    };
    const { socket, frames } = connect();
    let compared = 0;
    for (const [from, cell, meaning] of rows) {
      const frame = cell!.replaceAll('`', '');
      // Pings come every 25 s, and the server disconnects only a client whose token is revoked.
      if (/^[23]$/.test(frame) || meaning!.includes('io server disconnect')) continue;
      const shape = new RegExp(`^${frame.replaceAll(/[[\]{}().*+?^$|\\]/g, '\\$&').replaceAll(/,?…/g, '.+')}$`);
      if (meaning!.includes('connect_error')) {
        const refused = connect();
        await refused.frames.take('0');
        refused.socket.send('40/rooms,{"token":"not a token"}');
        expect(await refused.frames.take(frame)).to.match(shape);
        compared++;
      } else if (from === 'server') {
        if (frame.includes('message:new')) await sendMessages(url(), ana, room, 'Go!');
        expect(await frames.take(frame)).to.match(shape);
        compared++;
      } else {
        const token = JSON.stringify({ token: ana.token });
        socket.send(frame.replace('{"token":"…"}', token).replace('"room_id":1}', `"room_id":${room.id}}`));
      }
    }
    expect(compared).to.equal(5);
  });
});

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { aptInstall } from '../helpers/debian.ts';
import { describeOneWiring } from '../helpers/node.ts';
import { type Program, project, runProgram } from '../helpers/program.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoom, createRoomWithOwner, putRule, sendMessages } from '../helpers/rooms.ts';
import { nodeProxy } from '../helpers/tcp-proxy.ts';
import { createUser, type TestUser, withClaims } from '../helpers/users.ts';

const script = 'examples/python/chat.py';
const watchScript = 'examples/python/watch.py';
const python = '/usr/bin/python3';

const isInstalled = () => spawnSync(python, ['-c', 'import websockets']).status === 0;

/** Starts the client and waits until it has printed the room's history. */
async function startChat(url: string, { token }: { token: string }, room: { id: number }): Promise<Program> {
  const chat = runChat(url, token, room);
  await chat.waitForOutput('the latest messages');
  return chat;
}

function runChat(url: string, token: string, room: { id: number }, example = script): Program {
  return runProgram(python, [example, `${url.replace('http', 'ws')}/chat`, String(room.id)], { CHAT_TOKEN: token });
}

/** Reads the room's history and formats it as the client prints it. */
async function readHistory(url: string, user: TestUser, room: { id: number }): Promise<string[]> {
  const { body } = await rest(url, user.token).get(`/rooms/${room.id}/messages?limit=500`);
  return body.content.map(
    ({ seq, emitter, content }: { seq: number; emitter: string; content: string }) => `${seq} ${emitter} '${content}'`,
  );
}

function withWebsockets(): void {
  before(function () {
    this.timeout(300_000);
    if (isInstalled()) return;
    if (!aptInstall('The tests run an example in Python', 'python3-websockets')) this.skip(); // not on Debian, or not root
    if (!isInstalled()) throw new Error("The example needs Debian's python3-websockets");
  });
}

describeOneWiring(`the Python example, ${watchScript}`, (node) => {
  withWebsockets();

  it('prints messages, edits, deletions and reactions once each, also those that it missed', async () => {
    const proxy = await nodeProxy(node.url());
    const { owner, room } = await createRoomWithOwner(node.url());
    const api = rest(node.url(), owner.token);
    const path = `/rooms/${room.id}/messages`;
    await sendMessages(node.url(), owner, room, 'one', 'two');
    const watch = runChat(proxy.url, owner.token, room, watchScript);
    await watch.waitForOutput('the latest messages');
    await api.patch(`${path}/1`, { content: 'edited' });
    await api.put(`${path}/1/reactions/${encodeURIComponent('👍')}`);
    await watch.waitForOutput('👍×1');
    proxy.cut();
    await api.patch(`/rooms/${room.id}`, { name: 'renamed' });
    await api.delete(`${path}/2`);
    await sendMessages(node.url(), owner, room, 'three');
    proxy.restore();
    await watch.waitForOutput("'three'");
    expect(watch.lines()).to.deep.equal([
      ...["1 'one'", "2 'two'", "1 'edited'", '1 👍×1', '2 (deleted)', "3 'three'"],
    ]);
  });
});

describeOneWiring(`the Python example, ${script}`, (node) => {
  withWebsockets();

  it('has fewer than 100 lines', () => {
    expect(readFileSync(join(project, script), 'utf8').split('\n').length - 1).to.be.below(100);
  });

  it('prints its usage and no traceback if the room or the token is missing', () => {
    const { CHAT_TOKEN: _, ...env } = process.env;
    for (const args of [[], ['ws://127.0.0.1:1/chat', '1']]) {
      const { status, stderr } = spawnSync(python, [join(project, script), ...args], {
        env,
        encoding: 'utf8',
      });
      expect(status).to.equal(1);
      expect(stderr).to.include('CHAT_TOKEN=... python3 chat.py').and.not.include('Traceback');
    }
  });

  it('prints earlier and new messages, sends its input, and exits at the end of the input', async () => {
    const url = node.url();
    const { owner, room } = await createRoomWithOwner(url);
    const ben = await createMember(url, owner, room);
    await sendMessages(url, owner, room, 'before', 'the join');
    const chat = await startChat(url, ben, room);
    await sendMessages(url, owner, room, 'after the join');
    await chat.waitForOutput('after the join');
    chat.type('typed, in Ελληνικά', 'and more');
    chat.endInput();
    expect(await chat.exited).to.equal(0);
    expect(chat.lines())
      .to.have.length(5)
      .and.to.deep.equal(await readHistory(url, owner, room));
  });

  it('loses and duplicates no message if the connection breaks several times', async () => {
    const proxy = await nodeProxy(node.url());
    const { owner, room } = await createRoomWithOwner(node.url());
    const chat = await startChat(proxy.url, owner, room);
    chat.type('one');
    await chat.waitForOutput("'one'");
    proxy.loseNextResponse();
    chat.type('two');
    await chat.waitForOutput("'two'"); // the response was lost, so the client sent it again over a second connection
    proxy.cut();
    chat.type('three', 'four');
    await sendMessages(node.url(), owner, room, 'sent during the disconnection');
    proxy.restore();
    await chat.waitForOutput("'four'");
    proxy.cut();
    proxy.restore();
    await sendMessages(node.url(), owner, room, 'the end');
    await chat.waitForOutput('the end');
    expect(chat.lines())
      .to.have.length(6)
      .and.to.deep.equal(await readHistory(node.url(), owner, room));
    expect(chat.lines().filter((line) => line.includes("'two'"))).to.have.length(1);
  });

  it('loads the history again if it missed too many messages', async () => {
    const proxy = await nodeProxy(node.url());
    const { owner, room } = await createRoomWithOwner(node.url());
    const chat = await startChat(proxy.url, owner, room);
    chat.type('one');
    await chat.waitForOutput("'one'");
    proxy.cut();
    const large = Array.from({ length: 40 }, (_, n) => `${n} `.padEnd(8_000, '.'));
    await sendMessages(node.url(), owner, room, ...large, 'the last of many');
    proxy.restore();
    await chat.waitForOutput('the last of many');
    expect(chat.errors().match(/the latest messages/g)).to.have.length(2);
    const all = await readHistory(node.url(), owner, room);
    const reloaded = chat.lines().slice(1);
    expect(reloaded).to.have.length.above(20).and.to.deep.equal(all.slice(-reloaded.length));
    await sendMessages(node.url(), owner, room, 'and live');
    await chat.waitForOutput('and live');
  });

  it('retries messages that exceeded the rate limit', async () => {
    const { url } = await node.startNode({ SEND_RATE: 10, SEND_BURST: 2 });
    const { owner, room } = await createRoomWithOwner(url);
    const chat = await startChat(url, owner, room);
    chat.type('1', '2', '3', '4', '5');
    chat.endInput();
    expect(await chat.exited).to.equal(0);
    expect(chat.lines().map((line) => line.at(-2))).to.deep.equal(['1', '2', '3', '4', '5']);
    expect(chat.errors()).not.to.include('not sent');
  });

  it('reports a rejected message and stays in the room', async () => {
    const { owner, room } = await createRoomWithOwner(node.url());
    const reader = await createMember(node.url(), owner, room, 'r');
    const chat = await startChat(node.url(), reader, room);
    chat.type('may I?');
    await chat.waitForOutput('not sent: FORBIDDEN');
    await sendMessages(node.url(), owner, room, 'no');
    await chat.waitForOutput("'no'");
  });

  it('exits with the reason after a ban', async () => {
    const { owner, room } = await createRoomWithOwner(node.url());
    const ben = await createMember(node.url(), owner, room);
    const chat = await startChat(node.url(), ben, room);
    await putRule(node.url(), owner, room, { userUUID: ben.user, permissions: 'b' });
    expect(await chat.exited).to.equal(1);
    expect(chat.errors())
      .to.match(/^NOTAUTHORIZED BANNED$/m)
      .and.not.to.include('reconnecting');
  });

  it('exits with the reason if the user has no access to the room', async () => {
    const { room } = await createRoomWithOwner(node.url());
    const chat = runChat(node.url(), createUser().token, room);
    expect(await chat.exited).to.equal(1);
    expect(chat.errors()).to.equal('NOTAUTHORIZED NOT_FOUND\n');
  });

  it('reconnects after its token expired, and exits if the new connection rejects the token', async () => {
    const ana = createUser({ level: 100 });
    const room = await createRoom(node.url(), ana);
    // Python needs a part of this time to start.
    const expiring = withClaims(ana, { exp: Math.floor(Date.now() / 1000) + 6 });
    const chat = await startChat(node.url(), expiring, room);
    expect(await chat.exited).to.equal(1);
    expect(chat.errors()).to.match(/reconnecting after: .*4403.*\nTOKEN\? TOKEN_EXPIRED\n$/);
  });

  it('exits after it sent a frame that is too large', async () => {
    const { owner, room } = await createRoomWithOwner(node.url());
    const chat = await startChat(node.url(), owner, room);
    chat.type('x'.repeat(70_000));
    expect(await chat.exited).to.equal(1);
    expect(chat.errors()).to.match(/^1009 $/m);
  });
});

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
const python = '/usr/bin/python3';

const isInstalled = () => spawnSync(python, ['-c', 'import websockets']).status === 0;

/** The client in a room, after it has shown the history. */
async function startChat(url: string, { token }: { token: string }, room: { id: number }): Promise<Program> {
  const chat = runChat(url, token, room);
  await chat.waitForOutput('the latest messages');
  return chat;
}

function runChat(url: string, token: string, room: { id: number }): Program {
  return runProgram(python, [script, `${url.replace('http', 'ws')}/chat`, String(room.id)], { CHAT_TOKEN: token });
}

/** The history of a room as the client prints it. */
async function history(url: string, person: TestUser, room: { id: number }): Promise<string[]> {
  const { body } = await rest(url, person.token).get(`/rooms/${room.id}/messages?limit=500`);
  return body.content.map(
    ({ seq, emitter, content }: { seq: number; emitter: string; content: string }) => `${seq} ${emitter} '${content}'`,
  );
}

describeOneWiring(`the example in Python, ${script}`, (node) => {
  before(function () {
    this.timeout(300_000);
    if (isInstalled()) return;
    if (!aptInstall('An example is a client in Python', 'python3-websockets')) this.skip(); // not on Debian, or not root
    if (!isInstalled()) throw new Error("The example needs Debian's python3-websockets");
  });

  it('has fewer than 100 lines', () => {
    expect(readFileSync(join(project, script), 'utf8').split('\n').length - 1).to.be.below(100);
  });

  it('shows its usage, and no traceback, without a room or a token', () => {
    const { CHAT_TOKEN: _, ...env } = process.env;
    for (const words of [[], ['ws://127.0.0.1:1/chat', '1']]) {
      const { status, stderr } = spawnSync(python, [join(project, script), ...words], {
        env,
        encoding: 'utf8',
      });
      expect(status).to.equal(1);
      expect(stderr).to.include('CHAT_TOKEN=... python3 chat.py').and.not.include('Traceback');
    }
  });

  it('shows history and live messages, sends typed lines, and exits at the end of its input', async () => {
    const url = node.url();
    const { owner, room } = await createRoomWithOwner(url);
    const ben = await createMember(url, owner, room);
    await sendMessages(url, owner, room, 'before', 'it came');
    const chat = await startChat(url, ben, room);
    await sendMessages(url, owner, room, 'while it is there');
    await chat.waitForOutput('while it is there');
    chat.type('typed, in Ελληνικά', 'and more');
    chat.endInput();
    expect(await chat.exited).to.equal(0);
    expect(chat.lines())
      .to.have.length(5)
      .and.to.deep.equal(await history(url, owner, room));
  });

  it('loses and duplicates no messages although the connection is cut again and again', async () => {
    const proxy = await nodeProxy(node.url());
    const { owner, room } = await createRoomWithOwner(node.url());
    const chat = await startChat(proxy.url, owner, room);
    chat.type('one');
    await chat.waitForOutput("'one'");
    proxy.loseNextResponse();
    chat.type('two');
    await chat.waitForOutput("'two'"); // over a second connection, on which it is resent
    proxy.cut();
    chat.type('three', 'four');
    await sendMessages(node.url(), owner, room, 'sent during the outage');
    proxy.restore();
    await chat.waitForOutput("'four'");
    proxy.cut();
    proxy.restore();
    await sendMessages(node.url(), owner, room, 'the end');
    await chat.waitForOutput('the end');
    expect(chat.lines())
      .to.have.length(6)
      .and.to.deep.equal(await history(node.url(), owner, room));
    expect(chat.lines().filter((shown) => shown.includes("'two'"))).to.have.length(1);
  });

  it('loads the history again if it has missed too much', async () => {
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
    const all = await history(node.url(), owner, room);
    const afterwards = chat.lines().slice(1);
    expect(afterwards).to.have.length.above(20).and.to.deep.equal(all.slice(-afterwards.length));
    await sendMessages(node.url(), owner, room, 'and live');
    await chat.waitForOutput('and live');
  });

  it('resends messages that were sent too fast', async () => {
    const { url } = await node.startNode({ SEND_RATE: 10, SEND_BURST: 2 });
    const { owner, room } = await createRoomWithOwner(url);
    const chat = await startChat(url, owner, room);
    chat.type('1', '2', '3', '4', '5');
    chat.endInput();
    expect(await chat.exited).to.equal(0);
    expect(chat.lines().map((shown) => shown.at(-2))).to.deep.equal(['1', '2', '3', '4', '5']);
    expect(chat.errors()).not.to.include('not sent');
  });

  it('prints refusals and continues', async () => {
    const { owner, room } = await createRoomWithOwner(node.url());
    const reader = await createMember(node.url(), owner, room, 'r');
    const chat = await startChat(node.url(), reader, room);
    chat.type('may I?');
    await chat.waitForOutput('not sent: FORBIDDEN');
    await sendMessages(node.url(), owner, room, 'no');
    await chat.waitForOutput("'no'");
  });

  it('stops and prints the reason after a ban', async () => {
    const { owner, room } = await createRoomWithOwner(node.url());
    const ben = await createMember(node.url(), owner, room);
    const chat = await startChat(node.url(), ben, room);
    await putRule(node.url(), owner, room, { userUUID: ben.user, permissions: 'b' });
    expect(await chat.exited).to.equal(1);
    expect(chat.errors())
      .to.match(/^NOTAUTHORIZED BANNED$/m)
      .and.not.to.include('coming back');
  });

  it('stops if it may not enter the room', async () => {
    const { room } = await createRoomWithOwner(node.url());
    const chat = runChat(node.url(), createUser().token, room);
    expect(await chat.exited).to.equal(1);
    expect(chat.errors()).to.equal('NOTAUTHORIZED NOT_FOUND\n');
  });

  it('reconnects after its token has expired, and stops without a fresh token', async () => {
    const ana = createUser({ level: 100 });
    const room = await createRoom(node.url(), ana);
    const soon = withClaims(ana, { exp: Math.floor(Date.now() / 1000) + 2 });
    const chat = await startChat(node.url(), soon, room);
    expect(await chat.exited).to.equal(1);
    expect(chat.errors()).to.match(/coming back after: .*4403.*\nTOKEN\? TOKEN_EXPIRED\n$/);
  });

  it('stops if its frame is too large', async () => {
    const { owner, room } = await createRoomWithOwner(node.url());
    const chat = await startChat(node.url(), owner, room);
    chat.type('x'.repeat(70_000));
    expect(await chat.exited).to.equal(1);
    expect(chat.errors()).to.match(/^1009 $/m);
  });
});

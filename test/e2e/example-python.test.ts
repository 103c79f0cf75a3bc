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

/** The client in a room, its history shown. */
async function chatIn(url: string, { token }: { token: string }, room: { id: number }): Promise<Program> {
  const chat = runChat(url, token, room);
  await chat.waitForOutput('the latest messages');
  return chat;
}

function runChat(url: string, token: string, room: { id: number }): Program {
  return runProgram(python, [script, `${url.replace('http', 'ws')}/chat`, String(room.id)], { CHAT_TOKEN: token });
}

/** What a room's history says, written as the client writes it. */
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

  it('has less than 100 lines', () => {
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

  it('shows what was said and is being said, sends what is typed, and ends with its input', async () => {
    const url = node.url();
    const { owner, room } = await createRoomWithOwner(url);
    const ben = await createMember(url, owner, room);
    await sendMessages(url, owner, room, 'before', 'it came');
    const chat = await chatIn(url, ben, room);
    await sendMessages(url, owner, room, 'while it is there');
    await chat.waitForOutput('while it is there');
    chat.type('typed, in Ελληνικά', 'and more');
    chat.endInput();
    expect(await chat.exited).to.equal(0);
    expect(chat.lines())
      .to.have.length(5)
      .and.to.deep.equal(await history(url, owner, room));
  });

  it('loses nothing and doubles nothing, although the connection is cut again and again', async () => {
    const line = await nodeProxy(node.url());
    const { owner, room } = await createRoomWithOwner(node.url());
    const chat = await chatIn(line.url, owner, room);
    chat.type('one');
    await chat.waitForOutput("'one'");
    line.loseNextResponse();
    chat.type('two');
    await chat.waitForOutput("'two'"); // over a second connection, on which it is sent again
    line.cut();
    chat.type('three', 'four');
    await sendMessages(node.url(), owner, room, 'said while it was away');
    line.restore();
    await chat.waitForOutput("'four'");
    line.cut();
    line.restore();
    await sendMessages(node.url(), owner, room, 'the end');
    await chat.waitForOutput('the end');
    expect(chat.lines())
      .to.have.length(6)
      .and.to.deep.equal(await history(node.url(), owner, room));
    expect(chat.lines().filter((shown) => shown.includes("'two'"))).to.have.length(1);
  });

  it('loads history again where too much was missed', async () => {
    const line = await nodeProxy(node.url());
    const { owner, room } = await createRoomWithOwner(node.url());
    const chat = await chatIn(line.url, owner, room);
    chat.type('one');
    await chat.waitForOutput("'one'");
    line.cut();
    const large = Array.from({ length: 40 }, (_, n) => `${n} `.padEnd(8_000, '.'));
    await sendMessages(node.url(), owner, room, ...large, 'the last of many');
    line.restore();
    await chat.waitForOutput('the last of many');
    expect(chat.errors().match(/the latest messages/g)).to.have.length(2);
    const all = await history(node.url(), owner, room);
    const afterwards = chat.lines().slice(1);
    expect(afterwards).to.have.length.above(20).and.to.deep.equal(all.slice(-afterwards.length));
    await sendMessages(node.url(), owner, room, 'and live');
    await chat.waitForOutput('and live');
  });

  it('sends again what came too fast', async () => {
    const { url } = await node.startNode({ SEND_RATE: 10, SEND_BURST: 2 });
    const { owner, room } = await createRoomWithOwner(url);
    const chat = await chatIn(url, owner, room);
    chat.type('1', '2', '3', '4', '5');
    chat.endInput();
    expect(await chat.exited).to.equal(0);
    expect(chat.lines().map((shown) => shown.at(-2))).to.deep.equal(['1', '2', '3', '4', '5']);
    expect(chat.errors()).not.to.include('not sent');
  });

  it('says what is refused, and goes on', async () => {
    const { owner, room } = await createRoomWithOwner(node.url());
    const reader = await createMember(node.url(), owner, room, 'r');
    const chat = await chatIn(node.url(), reader, room);
    chat.type('may I?');
    await chat.waitForOutput('not sent: FORBIDDEN');
    await sendMessages(node.url(), owner, room, 'no');
    await chat.waitForOutput("'no'");
  });

  it('stops when it is banned, and says so', async () => {
    const { owner, room } = await createRoomWithOwner(node.url());
    const ben = await createMember(node.url(), owner, room);
    const chat = await chatIn(node.url(), ben, room);
    await putRule(node.url(), owner, room, { userUUID: ben.user, permissions: 'b' });
    expect(await chat.exited).to.equal(1);
    expect(chat.errors())
      .to.match(/^NOTAUTHORIZED BANNED$/m)
      .and.not.to.include('coming back');
  });

  it('stops where the room is not for it', async () => {
    const { room } = await createRoomWithOwner(node.url());
    const chat = runChat(node.url(), createUser().token, room);
    expect(await chat.exited).to.equal(1);
    expect(chat.errors()).to.equal('NOTAUTHORIZED NOT_FOUND\n');
  });

  it('comes back when its token has ended, and stops when there is no fresh one', async () => {
    const ana = createUser({ level: 100 });
    const room = await createRoom(node.url(), ana);
    const soon = withClaims(ana, { exp: Math.floor(Date.now() / 1000) + 2 });
    const chat = await chatIn(node.url(), soon, room);
    expect(await chat.exited).to.equal(1);
    expect(chat.errors()).to.match(/coming back after: .*4403.*\nTOKEN\? TOKEN_EXPIRED\n$/);
  });

  it('stops when its frame is too large to be taken', async () => {
    const { owner, room } = await createRoomWithOwner(node.url());
    const chat = await chatIn(node.url(), owner, room);
    chat.type('x'.repeat(70_000));
    expect(await chat.exited).to.equal(1);
    expect(chat.errors()).to.match(/^1009 $/m);
  });
});

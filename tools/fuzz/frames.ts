import { once } from 'node:events';
import { io, type Socket } from 'socket.io-client';
import WebSocket from 'ws';
import { ChatFrame } from '../../src/core/contract/chat.ts';
import { RefusedAck, serverEvents } from '../../src/core/contract/socketio.ts';
import { closeCodes, errors } from '../../src/core/errors.ts';
import { type RequestName, requests } from '../requests.ts';
import { oddText, oddValue, type Random } from './random.ts';

export interface Target {
  url: string;
  token: string;
  room: number;
  uuid: string;
}

/** The number of times that each answer was given. */
export type Tally = Map<string, number>;

const count = (tally: Tally, key: string) => tally.set(key, (tally.get(key) ?? 0) + 1);
const documentedCloses = new Set<number>([...Object.values(closeCodes).map(({ code }) => code), 1005, 1006]);

/**
 * Sends random frames to `/chat`, and opens a new connection when the server closes one. Throws if an answer is not
 * documented.
 */
export async function attackChat(target: Target, random: Random, frames: number): Promise<Tally> {
  const tally: Tally = new Map();
  const known = [target.room, String(target.room), target.uuid, 'token', 'select_room', 'message', target.token];
  let left = frames;
  while (left > 0) {
    const socket = new WebSocket(`${target.url.replace('http', 'ws')}/chat`);
    let undocumented: string | undefined;
    let fenced = () => {};
    const ended = new Promise<number>((resolve) => socket.once('close', resolve));
    socket.on('error', () => {});
    socket.on('message', (data) => {
      const text = data.toString();
      const frame = ChatFrame.safeParse(JSON.parse(text));
      if (!frame.success) undocumented = text;
      else count(tally, `chat ${frame.data.type} ${typeof frame.data.data === 'string' ? frame.data.data : ''}`);
      if (text.includes('"id":"fence"')) fenced();
    });
    await once(socket, 'open');
    const send = (data: string | Buffer) => socket.readyState === WebSocket.OPEN && socket.send(data);
    if (random.chance(0.97)) send(JSON.stringify({ type: 'token', content: target.token }));
    if (random.chance(0.9)) send(JSON.stringify({ type: 'select_room', room_id: target.room }));
    while (left > 0 && socket.readyState === WebSocket.OPEN) {
      for (let n = 0; n < 20 && left > 0; n++) {
        const text = oddText(random, oddCommand(random, known));
        send(text);
        left -= 1;
        // This text ends the connection, so the server would not read what follows.
        if (!isJson(text)) break;
      }
      const fence = new Promise<void>((resolve) => {
        fenced = resolve;
      });
      send(JSON.stringify({ type: 'nothing', id: 'fence' }));
      await Promise.race([fence, ended]);
      if (undocumented) throw new Error(`/chat answered something undocumented: ${undocumented}`);
    }
    socket.close();
    const code = await ended;
    count(tally, `chat closed ${code}`);
    if (!documentedCloses.has(code)) throw new Error(`/chat closed with ${code}`);
  }
  return tally;
}

function isJson(text: string | Buffer): boolean {
  try {
    JSON.parse(text.toString());
    return true;
  } catch {
    return false;
  }
}

function oddCommand(random: Random, known: readonly unknown[]): unknown {
  if (random.chance(0.25)) return oddValue(random, known);
  const type = random.pick(['token', 'select_room', 'message', 'message', 'get_past_messages', 'quit', 'x', 7, null]);
  // Send few of them: `quit` and tokens end most connections.
  const spared = (type === 'quit' || type === 'token') && random.chance(0.9) ? 'message' : type;
  const command: Record<string, unknown> = { type: spared };
  for (const key of ['room_id', 'content', 'since', 'client_msg_id', 'limit', 'before', 'id']) {
    if (random.chance(0.4)) command[key] = oddValue(random, known);
  }
  return command;
}

/** Sends random requests over Socket.IO. Throws unless each of them is acknowledged as documented. */
export async function attackSocketio(target: Target, random: Random, frames: number): Promise<Tally> {
  const tally: Tally = new Map();
  const known = [target.room, String(target.room), target.uuid, target.token];
  const names = [...Object.keys(requests), 'message', 'error ', '__proto__', 'toString', ''];
  let socket = await connect(target, tally);
  for (let left = frames; left > 0; ) {
    const burst = Math.min(20, left);
    left -= burst;
    const sent = Array.from({ length: burst }, () => {
      const name = random.pick(names);
      const payload = random.chance(0.1) ? Buffer.from([1, 2, 3]) : oddPayload(random, known);
      return { name, answer: socket.timeout(10_000).emitWithAck(name, payload) };
    });
    for (const { name, answer } of sent) {
      const ack = await answer.catch((error: Error) => {
        if (socket.connected) throw new Error(`${name} was not acknowledged: ${error.message}`);
      });
      if (ack) checkAck(name, ack, tally);
    }
    // The third rejected token closes the connection, which is documented.
    if (!socket.connected) {
      socket.close();
      socket = await connect(target, tally);
    }
  }
  socket.close();
  return tally;
}

function oddPayload(random: Random, known: readonly unknown[]): unknown {
  if (random.chance(0.3)) return oddValue(random, known);
  const payload: Record<string, unknown> = {};
  for (const key of ['room_id', 'content', 'client_msg_id', 'since', 'before', 'after', 'limit', 'token']) {
    if (random.chance(0.5)) payload[key] = random.chance(0.5) ? random.pick(known) : oddValue(random, known);
  }
  return payload;
}

function checkAck(name: string, ack: { ok?: unknown }, tally: Tally): void {
  const schema = ack.ok === true ? requests[name as RequestName]?.ack : RefusedAck;
  if (!schema?.safeParse(ack).success) throw new Error(`${name} was acknowledged with ${JSON.stringify(ack)}`);
  count(tally, ack.ok === true ? `socketio ${name}` : `socketio ${(ack as RefusedAck).error.code}`);
}

async function connect({ url, token }: Target, tally: Tally): Promise<Socket> {
  const socket = io(`${url}/rooms`, {
    auth: { token },
    forceNew: true,
    reconnection: false,
    transports: ['websocket'],
  });
  socket.onAny((name: string) => {
    if (!Object.hasOwn(serverEvents, name)) throw new Error(`undocumented announcement ${name}`);
    count(tally, `socketio announced ${name}`);
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('connect_error', reject);
  });
  return socket;
}

/** Sends random text below Socket.IO, to Engine.IO. It may end the connection, but never the process. */
export async function attackEngine({ url }: Target, random: Random, frames: number): Promise<Tally> {
  const tally: Tally = new Map();
  const starts = ['', '4', '40/rooms,', '42/rooms,1', '42/rooms,', '451-/rooms,', '43', '5', '6', '2', '3', '1', '9'];
  for (let left = frames; left > 0; ) {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`);
    socket.on('error', () => {});
    const ended = new Promise<number>((resolve) => socket.once('close', resolve));
    await Promise.race([once(socket, 'open'), ended]);
    for (let n = 0; n < 3 && left > 0 && socket.readyState === WebSocket.OPEN; n++, left--) {
      const text = oddText(random, oddValue(random, [1]));
      socket.send(typeof text === 'string' ? random.pick(starts) + text : text);
    }
    socket.close();
    count(tally, `engine closed ${await ended}`);
  }
  return tally;
}

const statuses = new Map<number, Set<string>>();
for (const [code, { http }] of Object.entries(errors)) statuses.set(http, (statuses.get(http) ?? new Set()).add(code));

/** Sends random REST requests. Throws unless each answer is an envelope with a documented code. */
export async function attackRest(target: Target, random: Random, requestCount: number): Promise<Tally> {
  const tally: Tally = new Map();
  const known = [target.room, target.uuid, 'rw', 'group', 'user2user', 100];
  const ids = [
    target.room,
    target.uuid,
    '028',
    'abc',
    '-1',
    '1.5',
    '9'.repeat(30),
    '%00',
    '%E0%A4%A',
    '[1]',
    '0',
    '..',
  ];
  const tails = ['', '/', '/members', '/members/', '/messages', '/invitation', '/nothing', `/members/${target.uuid}`];
  for (let left = requestCount; left > 0; left--) {
    const method = random.pick([
      'GET',
      'POST',
      'PUT',
      'PATCH',
      'HEAD',
      'OPTIONS',
      ...(random.chance(0.1) ? ['DELETE'] : []),
    ]);
    const path = random.chance(0.2) ? '/rooms' : `/rooms/${random.pick(ids)}${random.pick(tails)}`;
    const query = random.chance(0.4) ? oddQuery(random) : '';
    const hasBody = !['GET', 'HEAD', 'OPTIONS'].includes(method) && random.chance(0.9);
    const headers: Record<string, string> = { 'Content-Type': random.pick(['application/json', 'text/plain', 'x']) };
    if (random.chance(0.95)) headers.Authorization = `Bearer ${random.chance(0.97) ? target.token : 'rubbish'}`;
    const body = hasBody ? oddText(random, oddBody(random, known)) : undefined;
    const response = await fetch(target.url + path + query, {
      method,
      headers,
      ...(hasBody && { body: body as string }),
    });
    await checkAnswer(response, method, `${method} ${path}${query}`, tally);
  }
  return tally;
}

function oddQuery(random: Random): string {
  const values = [
    '1',
    '-1',
    '0',
    '500',
    '501',
    '1e9',
    'abc',
    '2026-01-01',
    '2026-02-31',
    '',
    '9999999999999999',
    '%00',
  ];
  const one = () => `${random.pick(['limit', 'before', 'after', 'around', 'dateFrom', 'dateTo', 'accepted', 'x'])}=`;
  return `?${Array.from({ length: random.int(4) }, () => one() + random.pick(values)).join('&')}`;
}

function oddBody(random: Random, known: readonly unknown[]): unknown {
  const body: Record<string, unknown> = {};
  const names = [
    'name',
    'type',
    'level_admin',
    'with',
    'entity_UUID',
    'userUUID',
    'permissions',
    'level',
    'content',
    'accepted',
  ];
  for (const name of names) if (random.chance(0.4)) body[name] = oddValue(random, known);
  return random.chance(0.8) ? body : oddValue(random, known);
}

async function checkAnswer(response: Response, method: string, what: string, tally: Tally): Promise<void> {
  const text = await response.text();
  count(tally, `rest ${response.status}`);
  if (method === 'OPTIONS' && response.status === 204) return;
  if (method === 'HEAD' && (response.ok || statuses.has(response.status))) return;
  const body = JSON.parse(text) as { meta: { code: number; reason?: string } };
  const documented = response.ok
    ? body.meta.reason === undefined
    : statuses.get(response.status)?.has(body.meta.reason!);
  if (!documented || body.meta.code !== response.status || !('content' in body) || response.status === 500) {
    throw new Error(`${what} was answered ${response.status} ${text.slice(0, 500)}`);
  }
}

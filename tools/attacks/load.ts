import { Agent, request } from 'node:http';
import WebSocket from 'ws';

/** What one user or outsider does to a room at full speed, for a limited time. */
export interface Load {
  kind: 'requests' | 'joins';
  url: string;
  token: string;
  seconds: number;
  /** The number of concurrent requests or connections. */
  parallel: number;
  /** Sent in a loop, in this order. */
  requests: { method: string; path: string; body?: unknown }[];
  commands: Record<string, unknown>[];
}

/** The number of answers of each kind. */
export type Answers = Record<string, number>;

export function runLoad(load: Load): Promise<Answers> {
  return load.kind === 'requests' ? sendRequests(load) : joinRooms(load);
}

async function sendRequests({ url, token, seconds, parallel, requests }: Load): Promise<Answers> {
  const agent = new Agent({ keepAlive: true, maxSockets: parallel });
  const answers: Answers = {};
  const until = Date.now() + seconds * 1_000;
  let sent = 0;
  const ask = ({ method, path, body }: Load['requests'][number]) =>
    new Promise<string>((resolve) => {
      const text = body === undefined ? undefined : JSON.stringify(body);
      const headers = {
        Authorization: `Bearer ${token}`,
        ...(text !== undefined && { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) }),
      };
      request(url + path, { method, agent, headers }, (response) => {
        response.resume().on('end', () => resolve(String(response.statusCode)));
      })
        .on('error', () => resolve('no answer'))
        .end(text);
    });
  await Promise.all(
    Array.from({ length: parallel }, async () => {
      while (Date.now() < until) {
        const answer = await ask(requests[sent++ % requests.length]!);
        answers[answer] = (answers[answer] ?? 0) + 1;
      }
    }),
  );
  agent.destroy();
  return answers;
}

/** Selects rooms on `/chat`. Each connection selects the next room after the answer to the previous command. */
async function joinRooms({ url, token, seconds, parallel, commands }: Load): Promise<Answers> {
  const answers: Answers = {};
  const until = Date.now() + seconds * 1_000;
  const follow = () =>
    new Promise<void>((resolve) => {
      const socket = new WebSocket(`${url.replace(/^http/, 'ws')}/chat`);
      let sent = 0;
      const next = () => {
        if (Date.now() >= until) return socket.close();
        socket.send(JSON.stringify({ ...commands[sent++ % commands.length], id: 'select' }));
      };
      socket.on('open', () => socket.send(JSON.stringify({ type: 'token', content: token, id: 'token' })));
      socket.on('message', (data) => {
        const { id, data: word, reason } = JSON.parse(data.toString());
        if (id === 'select') {
          const answer = reason ?? word;
          answers[answer] = (answers[answer] ?? 0) + 1;
        }
        if (id !== undefined) next();
      });
      socket.on('error', () => {}).on('close', () => resolve());
    });
  await Promise.all(Array.from({ length: parallel }, follow));
  return answers;
}

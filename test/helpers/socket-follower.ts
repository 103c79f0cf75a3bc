import { io } from 'socket.io-client';
import { closeLater, violation } from './cleanup.ts';
import { type Follower, pause, RoomCopy } from './follower.ts';
import { undocumentedAck, undocumentedAnnouncement } from './live-document.ts';
import type { Loose } from './loose.ts';
import type { Person } from './people.ts';

const answerMs = 3_000;
const againMs = 200;

/** Socket.IO with the reconnection that it has by itself. */
export async function socketFollower(
  url: string,
  { token }: Person,
  room_id: number,
  transports?: string[],
): Promise<Follower> {
  const copy = new RoomCopy('are missed changes');
  const socket = io(`${url}/rooms`, { auth: { token }, forceNew: true, ...(transports && { transports }) });
  closeLater(() => socket.close());
  let isJoining = false;

  async function join(): Promise<void> {
    if (isJoining) return;
    isJoining = true;
    while (socket.connected && !(await joinOnce())) await pause(againMs);
    isJoining = false;
  }

  async function joinOnce(): Promise<boolean> {
    const ack = await request('room:join', { room_id, since: copy.cursor });
    if (!ack?.ok) return false;
    copy.joined(ack);
    for (const { name, payload } of ack.events) copy.take(payload, name === 'message:new');
    return true;
  }

  /** The acknowledgement, or undefined where none came. */
  async function request(name: string, payload: object): Promise<Loose> {
    const ack = await socket
      .timeout(answerMs)
      .emitWithAck(name, payload)
      .catch(() => undefined);
    const problem = ack && undocumentedAck(name, payload, ack);
    if (problem) violation(`The acknowledgement of ${name}, ${JSON.stringify(ack)}: ${problem}`);
    return ack;
  }

  socket.on('connect', () => void join());
  for (const name of ['message:new', 'member:changed', 'room:changed']) {
    socket.on(name, (change: Loose) => {
      const problem = undocumentedAnnouncement(name, change);
      if (problem) violation(`${name} ${JSON.stringify(change)}: ${problem}`);
      if (!copy.take(change, name === 'message:new')) void join();
    });
  }
  while (copy.cursor === undefined) await pause(10);
  return {
    copy,
    async send(content, client_msg_id) {
      for (;;) {
        const ack = socket.connected ? await request('message:send', { room_id, content, client_msg_id }) : undefined;
        if (ack?.ok) return;
        await pause(againMs);
      }
    },
  };
}

import { io } from 'socket.io-client';
import { undocumentedAck, undocumentedEvent } from './asyncapi-checks.ts';
import { closeLater, reportViolation } from './cleanup.ts';
import type { Json } from './json.ts';
import { delay, type ResilientClient, RoomCopy } from './resilient-client.ts';
import type { TestUser } from './users.ts';

const ackTimeoutMs = 3_000;
const retryMs = 200;

/** Socket.IO with its built-in reconnection. */
export async function resilientSocketClient(
  url: string,
  { token }: TestUser,
  room_id: number,
  transports?: string[],
): Promise<ResilientClient> {
  const copy = new RoomCopy('are missed changes');
  const socket = io(`${url}/rooms`, { auth: { token }, forceNew: true, ...(transports && { transports }) });
  closeLater(() => socket.close());
  let isJoining = false;

  async function join(): Promise<void> {
    if (isJoining) return;
    isJoining = true;
    while (socket.connected && !(await joinOnce())) await delay(retryMs);
    isJoining = false;
  }

  async function joinOnce(): Promise<boolean> {
    const ack = await request('room:join', { room_id, since: copy.cursor });
    if (!ack?.ok) return false;
    copy.onJoined(ack);
    for (const { name, payload } of ack.events) copy.apply(payload, name === 'message:new');
    return true;
  }

  /** The acknowledgement, or undefined if there was none. */
  async function request(name: string, payload: object): Promise<Json> {
    const ack = await socket
      .timeout(ackTimeoutMs)
      .emitWithAck(name, payload)
      .catch(() => undefined);
    const problem = ack && undocumentedAck(name, payload, ack);
    if (problem) reportViolation(`The acknowledgement of ${name}, ${JSON.stringify(ack)}: ${problem}`);
    return ack;
  }

  socket.on('connect', () => void join());
  for (const name of ['message:new', 'member:changed', 'room:changed']) {
    socket.on(name, (change: Json) => {
      const problem = undocumentedEvent(name, change);
      if (problem) reportViolation(`${name} ${JSON.stringify(change)}: ${problem}`);
      if (!copy.apply(change, name === 'message:new')) void join();
    });
  }
  while (copy.cursor === undefined) await delay(10);
  return {
    copy,
    async send(content, client_msg_id) {
      for (;;) {
        const ack = socket.connected ? await request('message:send', { room_id, content, client_msg_id }) : undefined;
        if (ack?.ok) return;
        await delay(retryMs);
      }
    },
  };
}

import WebSocket from 'ws';
import { undocumentedFrame } from './asyncapi-checks.ts';
import { closeLater, reportViolation } from './cleanup.ts';
import type { Json } from './json.ts';
import { delay, type ResilientClient, RoomCopy } from './resilient-client.ts';
import type { TestUser } from './users.ts';

const responseTimeoutMs = 3_000;
const retryMs = 200;

/** A `/chat` client that reconnects after a backoff, and selects the room with its last cursor. */
export async function resilientChatClient(url: string, { token }: TestUser, room_id: number): Promise<ResilientClient> {
  const copy = new RoomCopy('are changes of other kinds');
  const waiting = new Map<string, (isStored: boolean) => void>();
  let socket: WebSocket | undefined;
  let isReady = false;
  let hasEnded = false;
  closeLater(() => {
    hasEnded = true;
    socket?.terminate();
  });

  function open(): void {
    if (hasEnded) return;
    socket = new WebSocket(`${url.replace('http', 'ws')}/chat`);
    socket.on('error', () => {}); // `close` follows
    socket.on('open', () => {
      send({ type: 'token', content: token });
      send({ type: 'select_room', room_id, since: copy.cursor });
    });
    socket.on('message', (data) => onFrame(JSON.parse(data.toString())));
    socket.on('close', () => {
      isReady = false;
      setTimeout(open, retryMs + Math.random() * 500);
    });
  }

  const send = (command: object) => socket?.send(JSON.stringify(command));

  function onFrame(frame: Json): void {
    const { type, data, rev, cursor, id } = frame;
    const problem = undocumentedFrame(frame, []);
    if (problem) reportViolation(`/chat sent ${JSON.stringify(frame)}: ${problem}`);
    if (data === 'CONNECTED') {
      copy.onJoined(frame);
      isReady = true;
    }
    if (type === 'message') {
      const { seq, content, client_msg_id } = data;
      if (!frame.duplicate) copy.apply({ rev, cursor, seq, content }, true);
      waiting.get(client_msg_id)?.(true);
    } else if (id) waiting.get(id)?.(false);
  }

  open();
  while (!isReady) await delay(10);
  return {
    copy,
    async send(content, client_msg_id) {
      for (;;) {
        const answered = new Promise<boolean>((resolve) => waiting.set(client_msg_id, resolve));
        if (isReady) send({ type: 'message', content, client_msg_id, id: client_msg_id });
        const late = delay(isReady ? responseTimeoutMs : retryMs).then(() => false);
        if (await Promise.race([answered, late])) return;
        await delay(retryMs);
      }
    },
  };
}

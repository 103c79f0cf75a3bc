import WebSocket from 'ws';
import { closeLater, violation } from './cleanup.ts';
import { type Follower, pause, RoomCopy } from './follower.ts';
import { undocumentedFrame } from './live-document.ts';
import type { Loose } from './loose.ts';
import type { Person } from './people.ts';

const answerMs = 3_000;
const againMs = 200;

/** `/chat`: comes back after a moment of its own, and selects the room with the cursor it has. */
export async function chatFollower(url: string, { token }: Person, room_id: number): Promise<Follower> {
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
    socket.on('error', () => {}); // the close follows
    socket.on('open', () => {
      say({ type: 'token', content: token });
      say({ type: 'select_room', room_id, since: copy.cursor });
    });
    socket.on('message', (data) => hear(JSON.parse(data.toString())));
    socket.on('close', () => {
      isReady = false;
      setTimeout(open, againMs + Math.random() * 500);
    });
  }

  const say = (command: object) => socket?.send(JSON.stringify(command));

  function hear(frame: Loose): void {
    const { type, data, rev, cursor, id } = frame;
    const problem = undocumentedFrame(frame, []);
    if (problem) violation(`/chat sent ${JSON.stringify(frame)}: ${problem}`);
    if (data === 'CONNECTED') {
      copy.joined(frame);
      isReady = true;
    }
    if (type === 'message') {
      const { seq, content, client_msg_id } = data;
      if (!frame.duplicate) copy.take({ rev, cursor, seq, content }, true);
      waiting.get(client_msg_id)?.(true);
    } else if (id) waiting.get(id)?.(false);
  }

  open();
  while (!isReady) await pause(10);
  return {
    copy,
    async send(content, client_msg_id) {
      for (;;) {
        const answered = new Promise<boolean>((resolve) => waiting.set(client_msg_id, resolve));
        if (isReady) say({ type: 'message', content, client_msg_id, id: client_msg_id });
        const late = pause(isReady ? answerMs : againMs).then(() => false);
        if (await Promise.race([answered, late])) return;
        await pause(againMs);
      }
    },
  };
}

import WebSocket from 'ws';
import { undocumentedClose, undocumentedFrame } from './asyncapi-checks.ts';
import { closeLater, reportViolation } from './cleanup.ts';
import { frameQueue } from './frame-queue.ts';
import type { Json } from './json.ts';
import type { TestUser } from './users.ts';

/** A documented frame. The test knows which of the documented shapes it expects. */
export type Frame = { type: string; data: Json; [key: string]: Json };

export type ChatClient = Awaited<ReturnType<typeof chatClient>>;

/** A WebSocket on `/chat` that keeps every frame, and fails the test for an undocumented frame. */
export async function chatClient(url: string, path = '/chat') {
  const socket = new WebSocket(url.replace(/^http/, 'ws') + path);
  closeLater(() => socket.terminate());
  const frames = frameQueue<Frame>();
  const commands: Json[] = [];
  const closed = new Promise<number>((resolve) => {
    socket.on('close', (code, reason) => {
      const problem = undocumentedClose(code, commands);
      if (problem) reportViolation(problem);
      frames.end(new Error(`Closed with ${code} ${reason}`));
      resolve(code);
    });
  });
  socket.on('message', (data, isBinary) => {
    const frame = isBinary ? undefined : readJson(data.toString());
    const asked = frame?.id === undefined ? [] : commands.filter((command) => command?.id === frame.id);
    const problem = undocumentedFrame(frame, asked);
    if (problem) frames.end(reportViolation(`/chat sent ${data}: ${problem}`));
    else frames.push(frame);
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('open', resolve);
    // Later errors need a listener, too; they lead to `close`.
    socket.on('error', reject);
  });
  return {
    socket,
    closed,
    send: (command: unknown) => {
      commands.push(command);
      socket.send(JSON.stringify(command));
    },
    sendRaw: (frame: string | Buffer) => socket.send(frame),
    next: () => frames.take('the next frame'),
    /** Returns the first frame that fits, and drops the frames before it. */
    skipTo: (fits: (frame: Frame) => boolean) => frames.take(`a frame with ${fits}`, fits, true),
    /** Received frames that the test has not taken. */
    unread: frames.unread,
    close: () => socket.close(),
  };
}

function readJson(text: string): Json {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A client that has connected and authenticated. */
export async function authenticatedChat(url: string, { token }: Pick<TestUser, 'token'>): Promise<ChatClient> {
  const chat = await chatClient(url);
  await expectFrame(chat, 'START?');
  chat.send({ type: 'token', content: token });
  await expectFrame(chat, 'READY');
  return chat;
}

/**
 * A client that has selected the room. `since` is the cursor from which it catches up. Also returns the CONNECTED
 * frame.
 */
export async function chatInRoom(
  url: string,
  person: Pick<TestUser, 'token'>,
  room_id: number | string,
  since?: string,
): Promise<ChatClient & { connected: Frame }> {
  const chat = await authenticatedChat(url, person);
  chat.send({ type: 'select_room', room_id, ...(since !== undefined && { since }) });
  return { ...chat, connected: await expectFrame(chat, 'CONNECTED') };
}

async function expectFrame(chat: ChatClient, data: string): Promise<Frame> {
  const frame = await chat.next();
  if (frame.data !== data) throw new Error(`Expected ${data}, but received ${JSON.stringify(frame)}`);
  return frame;
}

import { chatClient } from './chat-client.ts';
import { rest } from './rest-client.ts';
import { socketClient } from './socket-client.ts';

export type Verdicts = Record<'rest' | 'socketio' | 'chat', string>;

/** What each transport says of a token: `welcome`, or the code of its refusal. */
export async function knock(url: string, token: string): Promise<Verdicts> {
  const [restVerdict, socketio, chat] = await Promise.all([
    knockRest(url, token),
    knockSocketio(url, token),
    knockChat(url, token),
  ]);
  return { rest: restVerdict, socketio, chat };
}

/** The same word at all three doors. */
export function everywhere(word: string): Verdicts {
  return { rest: word, socketio: word, chat: word };
}

async function knockRest(url: string, token: string): Promise<string> {
  const { status, body } = await rest(url, token).get('/rooms');
  return status === 200 ? 'welcome' : body.meta.reason;
}

async function knockSocketio(url: string, token: string): Promise<string> {
  return socketClient(url, { token }).then(
    () => 'welcome',
    (error) => error.data?.code ?? error.message,
  );
}

async function knockChat(url: string, token: string): Promise<string> {
  const chat = await chatClient(url);
  await chat.next();
  chat.send({ type: 'token', content: token });
  const frame = await chat.next();
  chat.close();
  return frame.data === 'READY' ? 'welcome' : String(frame.reason);
}

import { chatClient } from './chat-client.ts';
import { rest } from './rest-client.ts';
import { socketClient } from './socket-client.ts';

export type TokenOutcomes = Record<'rest' | 'socketio' | 'chat', string>;

/** The outcome of a token on each transport: `welcome`, or the code of the refusal. */
export async function tryToken(url: string, token: string): Promise<TokenOutcomes> {
  const [restVerdict, socketio, chat] = await Promise.all([
    tryRest(url, token),
    trySocketio(url, token),
    tryChat(url, token),
  ]);
  return { rest: restVerdict, socketio, chat };
}

/** The same outcome on all three transports. */
export function onEveryTransport(word: string): TokenOutcomes {
  return { rest: word, socketio: word, chat: word };
}

async function tryRest(url: string, token: string): Promise<string> {
  const { status, body } = await rest(url, token).get('/rooms');
  return status === 200 ? 'accepted' : body.meta.reason;
}

async function trySocketio(url: string, token: string): Promise<string> {
  return socketClient(url, { token }).then(
    () => 'accepted',
    (error) => error.data?.code ?? error.message,
  );
}

async function tryChat(url: string, token: string): Promise<string> {
  const chat = await chatClient(url);
  await chat.next();
  chat.send({ type: 'token', content: token });
  const frame = await chat.next();
  chat.close();
  return frame.data === 'READY' ? 'accepted' : String(frame.reason);
}

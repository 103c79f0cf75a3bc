import { createAsyncapiDocument } from '../../src/transports/http/documents/asyncapi.ts';
import { type Check, checksOf, closed } from './json-checks.ts';
import type { Loose } from './loose.ts';

/** `GET /asyncapi.json`, made in this process: a test says that it is the one that is served. */
const document: Loose = JSON.parse(JSON.stringify(createAsyncapiDocument()));
const checkAsked: Check = checksOf(document);
const checkTold: Check = checksOf(closed(document));

/** Which messages have travelled in this process: `channel.message`, and `channel.message code` of a refusal. */
export const metLive = new Set<string>();

/** All that may travel. */
export const documentedLive: string[] = Object.entries<Loose>(document.components.messages).flatMap(
  ([key, { payload }]) => {
    const narrowed = payload.allOf?.[1]?.properties;
    const codes: string[] | undefined = narrowed && (narrowed.reason ?? narrowed.error.properties.code).enum;
    return codes ? codes.map((code) => `${key} ${code}`) : [key];
  },
);

interface Operation {
  /** Keys of components. */
  messages: string[];
  reply: string[];
}

const keysOf = (messages: Loose[] = []) =>
  messages.map(({ $ref }) => {
    const [, , channel, , message] = ($ref as string).split('/');
    return `${channel}.${message}`;
  });

/** By the name of the message that is asked with, or told. */
function operationsOf(channel: string, action: 'send' | 'receive'): Map<string, Operation> {
  const own = Object.values<Loose>(document.operations).filter(
    (operation) => operation.action === action && operation.channel.$ref === `#/channels/${channel}`,
  );
  return new Map(
    own.flatMap(({ messages, reply }) =>
      keysOf(messages).map((key) => [
        document.components.messages[key].name as string,
        { messages: [key], reply: keysOf(reply?.messages) },
      ]),
    ),
  );
}

const requests = operationsOf('rooms', 'receive');
const announcements = operationsOf('rooms', 'send');
const commands = operationsOf('chat', 'receive');
const frames = new Map(
  Object.keys(document.components.messages)
    .filter((key) => key.startsWith('chat.frame.'))
    .map((key) => [document.components.messages[key].name as string, key]),
);
const closeCodes: number[] = document.channels.chat['x-close-codes'].map(({ code }: Loose) => code);
/** RFC 6455: a protocol error, no code, no close frame, no UTF-8. */
const closeCodesOfWebSocket = [1002, 1005, 1006, 1007];

const place = (key: string) => ['components', 'messages', key, 'payload'];

/** What is wrong with it as any of these messages; where nothing is, it has been met. */
function toldProblem(keys: string[], value: unknown, code?: string): string | undefined {
  const problems: string[] = [];
  for (const key of keys) {
    const problem = checkTold(place(key), value);
    if (problem === undefined) {
      metLive.add(code === undefined ? key : `${key} ${code}`);
      return undefined;
    }
    problems.push(`as ${key}: ${problem}`);
  }
  return problems.join('; ') || 'the document has no such message';
}

export function undocumentedAnnouncement(name: string, payload: unknown): string | undefined {
  return toldProblem(announcements.get(name)?.messages ?? [], payload);
}

/** Of an acknowledgement, and of the request where it was obeyed. */
export function undocumentedAck(name: string, payload: unknown, ack: Loose): string | undefined {
  const request = requests.get(name);
  if (!request) {
    const problem = checkTold(['components', 'schemas', 'RefusedAck'], ack);
    return problem ?? (ack.error.code === 'BAD_REQUEST' ? undefined : 'the document has no such request');
  }
  const problem = toldProblem(request.reply, ack, ack?.error?.code);
  if (problem || ack.ok !== true) return problem;
  return obeyedProblem(request.messages[0]!, payload);
}

/** Of the `auth` with which a client was let in. */
export function undocumentedConnect(auth: unknown): string | undefined {
  return obeyedProblem(requests.get('CONNECT')!.messages[0]!, auth);
}

export function undocumentedConnectError(data: unknown): string | undefined {
  return toldProblem(requests.get('CONNECT')!.reply, data);
}

function obeyedProblem(key: string, asked: unknown): string | undefined {
  const problem = checkAsked(place(key), asked);
  if (problem) return `${key} was obeyed, although the document says: ${problem}`;
  metLive.add(key);
  return undefined;
}

const refusals = new Set(['TOKEN?', 'SELECTROOM?', 'COMMAND?', 'BADAUTH', 'BADJSON', 'NOTAUTHORIZED', 'ERROR']);

/** Of a frame, and of the commands of its `id`: it must be an answer of one of them. */
export function undocumentedFrame(frame: Loose, asked: Loose[]): string | undefined {
  const name = frame?.type === 'message' ? 'message' : frame?.data;
  const key = frames.get(name);
  const problem = toldProblem(key ? [key] : [], frame);
  if (problem || asked.length === 0) return problem;
  const known = asked.map(({ type }) => commands.get(type));
  if (!known.every((command) => command !== undefined)) return undefined;
  const answers = known.flatMap(({ reply }) => reply);
  const reason = name === 'NOTAUTHORIZED' || name === 'ERROR' ? frame.reason : undefined;
  const unfitting = toldProblem(answers, frame, reason);
  if (unfitting || asked.length > 1 || refusals.has(name)) return unfitting;
  return obeyedProblem(known[0]!.messages[0]!, asked[0]);
}

export function undocumentedClose(code: number, asked: Loose[]): string | undefined {
  if (closeCodes.includes(code)) metLive.add(`close ${code}`);
  const quit = asked.find((command) => command?.type === 'quit');
  if (code === 1000 && quit) return obeyedProblem(commands.get('quit')!.messages[0]!, quit);
  return [...closeCodes, ...closeCodesOfWebSocket].includes(code)
    ? undefined
    : `the document has no close code ${code}`;
}

export const documentedCloses = closeCodes.map((code) => `close ${code}`);

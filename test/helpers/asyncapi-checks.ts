import { createAsyncapiDocument } from '../../src/transports/http/documents/asyncapi.ts';
import { contracts } from './contracts.ts';
import type { Json } from './json.ts';
import { type Check, createCheck, disallowUnknownKeys } from './json-checks.ts';

/** `GET /asyncapi.json`, created in this process. A separate test checks that the server serves the same document. */
const document: Json = JSON.parse(JSON.stringify(createAsyncapiDocument(contracts)));
const checkReceived: Check = createCheck(document);
const checkSent: Check = createCheck(disallowUnknownKeys(document));

/** The messages that this process has seen: `channel.message`, and `channel.message code` for a refusal. */
export const seenLive = new Set<string>();

/** All messages that the document allows. */
export const documentedLive: string[] = Object.entries<Json>(document.components.messages).flatMap(
  ([key, { payload }]) => {
    const narrowed = payload.allOf?.[1]?.properties;
    const codes: string[] | undefined = narrowed && (narrowed.reason ?? narrowed.error.properties.code).enum;
    return codes ? codes.map((code) => `${key} ${code}`) : [key];
  },
);

interface Operation {
  /** Keys of the document's components. */
  messages: string[];
  reply: string[];
}

const toKeys = (messages: Json[] = []) =>
  messages.map(({ $ref }) => {
    const [, , channel, , message] = ($ref as string).split('/');
    return `${channel}.${message}`;
  });

/** Indexes operations by the name of the message that the client sends or receives. */
function indexOperations(channel: string, action: 'send' | 'receive'): Map<string, Operation> {
  const own = Object.values<Json>(document.operations).filter(
    (operation) => operation.action === action && operation.channel.$ref === `#/channels/${channel}`,
  );
  return new Map(
    own.flatMap(({ messages, reply }) =>
      toKeys(messages).map((key) => [
        document.components.messages[key].name as string,
        { messages: [key], reply: toKeys(reply?.messages) },
      ]),
    ),
  );
}

const requests = indexOperations('rooms', 'receive');
const serverEvents = indexOperations('rooms', 'send');
const commands = indexOperations('chat', 'receive');
const frames = new Map(
  Object.keys(document.components.messages)
    .filter((key) => key.startsWith('chat.frame.'))
    .map((key) => [document.components.messages[key].name as string, key]),
);
const closeCodes: number[] = document.channels.chat['x-close-codes'].map(({ code }: Json) => code);
/** RFC 6455: a protocol error, no code, no close frame, no UTF-8. */
const closeCodesOfWebSocket = [1002, 1005, 1006, 1007];

const place = (key: string) => ['components', 'messages', key, 'payload'];

/** Returns why the value matches none of these messages. If it matches, records the message as seen. */
function sentProblem(keys: string[], value: unknown, code?: string): string | undefined {
  const problems: string[] = [];
  for (const key of keys) {
    const problem = checkSent(place(key), value);
    if (problem === undefined) {
      seenLive.add(code === undefined ? key : `${key} ${code}`);
      return undefined;
    }
    problems.push(`as ${key}: ${problem}`);
  }
  return problems.join('; ') || 'the document has no such message';
}

export function undocumentedEvent(name: string, payload: unknown): string | undefined {
  return sentProblem(serverEvents.get(name)?.messages ?? [], payload);
}

/** Checks an acknowledgement, and the request if it was accepted. */
export function undocumentedAck(name: string, payload: unknown, ack: Json): string | undefined {
  const request = requests.get(name);
  if (!request) {
    const problem = checkSent(['components', 'schemas', 'RefusedAck'], ack);
    return problem ?? (ack.error.code === 'BAD_REQUEST' ? undefined : 'the document has no such request');
  }
  const problem = sentProblem(request.reply, ack, ack?.error?.code);
  if (problem || ack.ok !== true) return problem;
  return acceptedProblem(request.messages[0]!, payload);
}

/** Checks the `auth` of a connection that was accepted. */
export function undocumentedConnect(auth: unknown): string | undefined {
  return acceptedProblem(requests.get('CONNECT')!.messages[0]!, auth);
}

export function undocumentedConnectError(data: unknown): string | undefined {
  return sentProblem(requests.get('CONNECT')!.reply, data);
}

function acceptedProblem(key: string, asked: unknown): string | undefined {
  const problem = checkReceived(place(key), asked);
  if (problem) return `${key} was accepted, although the document says: ${problem}`;
  seenLive.add(key);
  return undefined;
}

const refusals = new Set(['TOKEN?', 'SELECTROOM?', 'COMMAND?', 'BADAUTH', 'BADJSON', 'NOTAUTHORIZED', 'ERROR']);

/** Checks a frame. If it has an `id`, it must be an answer to one of the commands with that `id`. */
export function undocumentedFrame(frame: Json, asked: Json[]): string | undefined {
  const name = frame?.type === 'query' || frame?.type === 'status' ? frame.data : frame?.type;
  const key = frames.get(name);
  const problem = sentProblem(key ? [key] : [], frame);
  if (problem || asked.length === 0) return problem;
  const known = asked.map(({ type }) => commands.get(type));
  if (!known.every((command) => command !== undefined)) return undefined;
  const answers = known.flatMap(({ reply }) => reply);
  const reason = name === 'NOTAUTHORIZED' || name === 'ERROR' ? frame.reason : undefined;
  const unfitting = sentProblem(answers, frame, reason);
  if (unfitting || asked.length > 1 || refusals.has(name)) return unfitting;
  return acceptedProblem(known[0]!.messages[0]!, asked[0]);
}

export function undocumentedClose(code: number, asked: Json[]): string | undefined {
  if (closeCodes.includes(code)) seenLive.add(`close ${code}`);
  const quit = asked.find((command) => command?.type === 'quit');
  if (code === 1000 && quit) return acceptedProblem(commands.get('quit')!.messages[0]!, quit);
  return [...closeCodes, ...closeCodesOfWebSocket].includes(code)
    ? undefined
    : `the document has no close code ${code}`;
}

export const documentedCloses = closeCodes.map((code) => `close ${code}`);

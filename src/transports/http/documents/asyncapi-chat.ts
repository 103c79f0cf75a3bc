import type { z } from 'zod';
import {
  type ChatCommand,
  type ChatFrameName,
  CommandId,
  chatFrames,
  unsolicitedFrames,
} from '../../../core/contract/chat.ts';
import { closeCodes } from '../../../core/errors.ts';
import type { Contract } from '../../../core/feature.ts';
import type { Channel } from './channel.ts';
import type { JsonSchema, JsonSchemas } from './json-schemas.ts';

const closes = Object.values(closeCodes);
const rows = closes.map(({ code, reason, reconnect }) => `| ${code} | ${reason} | ${reconnect ? 'yes' : 'no'} |`);

const channel = {
  address: '/chat',
  title: 'A plain WebSocket',
  description: `Text frames, each one JSON object with a string \`type\`. The connection is in one of three states: without a
token, without a room, in a room. The server handles commands strictly in the order in which they arrive, even if a client
sends them before it has read \`START?\`. A command may carry an \`id\`; its answer repeats it.

The server closes the connection with these codes:

| code | reason | reconnect |
| --- | --- | --- |
${rows.join('\n')}

1002, 1007, 1008 and 1009 may come without their reason.`,
  bindings: { ws: { method: 'GET', bindingVersion: '0.1.0' } },
  'x-close-codes': closes,
};

/** Returns a key that AsyncAPI allows: `frame.START` for `START?`. */
export const formatFrameKey = (name: string) => `frame.${name.replace('?', '')}`;

export function createChatChannel(contracts: readonly Contract[], schemas: JsonSchemas): Channel {
  const messages: Channel['messages'] = {};
  const operations: Channel['operations'] = {};
  const featureFrames = Object.assign({}, ...contracts.map(({ frames }) => frames));
  for (const [name, schema] of Object.entries<z.ZodType>({ ...chatFrames, ...featureFrames })) {
    messages[formatFrameKey(name)] = {
      name,
      title: name,
      summary: schema.description ?? name,
      ...describeAnswer(schemas.toJsonSchema(schema)),
    };
  }
  for (const [name, command] of contracts.flatMap(({ commands }) => Object.entries(commands))) {
    const { frame, answers, refusals } = command;
    const summary = frame.description ?? name;
    messages[`command.${name}`] = {
      name,
      title: name,
      summary,
      payload: describeCommand(frame, schemas),
      ...correlation,
    };
    const isRefused = refusals.length > 0;
    if (isRefused) messages[`refusal.${name}`] = describeRefusal(name, command);
    const reply = answers.filter((answer) => !isRefusal(answer)).map(formatFrameKey);
    operations[name] = {
      action: 'receive',
      summary,
      messages: [`command.${name}`],
      reply: isRefused ? [...reply, `refusal.${name}`] : reply,
    };
  }
  for (const [name, { summary, frames }] of Object.entries(unsolicitedFrames)) {
    operations[name] = { action: 'send', summary, messages: frames.map(formatFrameKey) };
  }
  operations.change!.messages.push(...Object.keys(featureFrames).map(formatFrameKey));
  return { channel, messages, operations };
}

const correlation = { correlationId: { location: '$message.payload#/id' } };
const describeAnswer = (payload: JsonSchema) => ({ payload, ...correlation });

/** Adds the `id` that every command accepts. The answer repeats it. */
function describeCommand(frame: ChatCommand['frame'], schemas: JsonSchemas): JsonSchema {
  const { properties, ...schema } = schemas.toJsonSchema(frame);
  return { ...schema, properties: { ...(properties as object), id: schemas.toJsonSchema(CommandId) } };
}

const isRefusal = (frame: ChatFrameName) => frame === 'NOTAUTHORIZED' || frame === 'ERROR';

function describeRefusal(name: string, { answers, refusals: codes }: ChatCommand): Channel['messages'][string] {
  const frames = (['NOTAUTHORIZED', 'ERROR'] as const).filter((frame) => answers.includes(frame));
  const shapes = frames.map((frame) => ({ $ref: `#/components/messages/chat.${formatFrameKey(frame)}/payload` }));
  return {
    name: frames.join(' or '),
    title: `${name}, refused`,
    summary: `\`reason\` is \`${codes.join('`, `')}\`.`,
    payload: { allOf: [{ anyOf: shapes }, { properties: { reason: { enum: codes } } }] },
    ...correlation,
  };
}

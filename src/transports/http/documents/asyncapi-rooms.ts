import type { z } from 'zod';
import {
  ConnectAuth,
  ConnectError,
  defineAcceptedAck,
  namespace,
  RefusedAck,
  type SocketRequest,
  serverEvents,
} from '../../../core/contract/socketio.ts';
import type { Contract } from '../../../core/feature.ts';
import type { Channel, Operation } from './channel.ts';
import type { JsonSchemas } from './json-schemas.ts';

const channel = {
  address: namespace,
  title: 'Socket.IO',
  description: `Socket.IO protocol 5 over Engine.IO 4 at the path \`/socket.io/\`, by long polling or WebSocket, in the namespace \`/rooms\`. A
message's name is the event, its payload the one argument. Every request is acknowledged, with \`ok: true\` or with \`ok: false\`
and an \`error\`; an unknown request is refused with \`BAD_REQUEST\`. The server handles the requests of one connection in the order in which they
arrive. A client's own message may arrive before or after the acknowledgement of its request.

The server closes the connection (\`transport close\`) so that the client reconnects if its token expires, if it does not read, and
if the node shuts down; it disconnects the client (\`io server disconnect\`) if its token is revoked.`,
};

/** Returns a key that AsyncAPI allows: `roomJoin` for `room:join`. */
export const toKey = (event: string) => event.replaceAll(/:(\w)/g, (_, letter: string) => letter.toUpperCase());

export function createRoomsChannel(contracts: readonly Contract[], schemas: JsonSchemas): Channel {
  const messages: Channel['messages'] = {
    connect: {
      name: 'CONNECT',
      title: 'Connect',
      summary: 'The token is `auth.token`, or an `Authorization: Bearer` header of the handshake.',
      payload: schemas.toJsonSchema(ConnectAuth),
    },
    connectError: {
      name: 'connect_error',
      title: 'Connection refused',
      summary: '`data` of the error. The third rejected token on one engine connection closes it.',
      payload: schemas.toJsonSchema(ConnectError),
    },
  };
  const operations: Channel['operations'] = {
    connect: {
      action: 'receive',
      summary: 'A client connects to the namespace. If no error follows, it is connected.',
      messages: ['connect'],
      reply: ['connectError'],
    },
  };
  for (const [name, request] of contracts.flatMap(({ requests }) => Object.entries(requests))) {
    const key = toKey(name);
    Object.assign(messages, listRequestMessages(name, request, schemas));
    operations[key] = {
      action: 'receive',
      summary: request.payload.description ?? name,
      messages: [`${key}.request`],
      reply: [`${key}.ack`, `${key}.refusal`],
    };
  }
  const events = [serverEvents, ...contracts.map(({ events }) => events)];
  for (const [name, schema] of events.flatMap((table) => Object.entries<z.ZodType>(table))) {
    const key = toKey(name);
    messages[key] = { name, title: name, summary: schema.description ?? name, payload: schemas.toJsonSchema(schema) };
    operations[key] = { action: 'send', summary: schema.description ?? name, messages: [key] } satisfies Operation;
  }
  return { channel, messages, operations };
}

function listRequestMessages(name: string, request: SocketRequest, schemas: JsonSchemas): Channel['messages'] {
  const { payload, refusals } = request;
  const key = toKey(name);
  const refused = { properties: { error: { properties: { code: { enum: refusals } } } } };
  return {
    [`${key}.request`]: {
      name,
      title: name,
      summary: payload.description ?? name,
      payload: schemas.toJsonSchema(payload),
    },
    [`${key}.ack`]: {
      name,
      title: `${name}, acknowledged`,
      payload: schemas.toJsonSchema(defineAcceptedAck(request)),
    },
    [`${key}.refusal`]: {
      name,
      title: `${name}, refused`,
      summary: `\`${refusals.join('`, `')}\`.`,
      payload: { allOf: [schemas.toJsonSchema(RefusedAck), refused] },
    },
  };
}

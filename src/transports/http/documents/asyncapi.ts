import type { Contract } from '../../../core/feature.ts';
import { createChatChannel } from './asyncapi-chat.ts';
import { createRoomsChannel } from './asyncapi-rooms.ts';
import type { Channel, Operation } from './channel.ts';
import { createJsonSchemas } from './json-schemas.ts';
import { readPackageInfo } from './package-info.ts';

const description = `The protocol of live connections: Socket.IO in the namespace \`/rooms\`, and a plain WebSocket at \`/chat\`. Rooms are created
and administered over REST, which [OpenAPI](openapi.json) describes. Operations are described from the server's side: it
receives requests, replies, and sends events.

Clients and the server ignore unknown keys.`;

const servers = {
  node: {
    host: '{host}',
    protocol: 'wss',
    description:
      'The address of the service. A path prefix comes before every address; without TLS the protocol is `ws`.',
    variables: {
      host: { default: 'chat.example', description: 'The host name, with the port if it is not the default.' },
    },
  },
};

/** Creates the AsyncAPI 3.0 document of the live protocols. */
export function createAsyncapiDocument(contracts: readonly Contract[]) {
  const { name, version, license } = readPackageInfo();
  const schemas = createJsonSchemas();
  const parts = Object.entries({
    rooms: createRoomsChannel(contracts, schemas),
    chat: createChatChannel(contracts, schemas),
  });
  return {
    asyncapi: '3.0.0',
    info: { title: name, version, description, license: { name: license } },
    defaultContentType: 'application/json',
    servers,
    channels: Object.fromEntries(parts.map(([key, { channel, messages }]) => [key, toChannel(key, channel, messages)])),
    operations: Object.fromEntries(
      parts.flatMap(([key, { operations }]) =>
        Object.entries(operations).map(([name, operation]) => [`${key}.${name}`, toOperation(key, operation)]),
      ),
    ),
    components: {
      schemas: schemas.components,
      messages: Object.fromEntries(
        parts.flatMap(([key, { messages }]) =>
          Object.entries(messages).map(([name, message]) => [`${key}.${name}`, message]),
        ),
      ),
    },
  };
}

function toChannel(key: string, channel: object, messages: Channel['messages']) {
  const named = Object.keys(messages).map((name) => [name, { $ref: `#/components/messages/${key}.${name}` }]);
  return { ...channel, servers: [{ $ref: '#/servers/node' }], messages: Object.fromEntries(named) };
}

function toOperation(key: string, { action, summary, messages, reply }: Operation) {
  const channel = { $ref: `#/channels/${key}` };
  const refer = (names: string[]) => names.map((name) => ({ $ref: `#/channels/${key}/messages/${name}` }));
  return {
    action,
    summary,
    channel,
    messages: refer(messages),
    ...(reply && { reply: { channel, messages: refer(reply) } }),
  };
}

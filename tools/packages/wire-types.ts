import { compile } from 'json-schema-to-typescript';
import { z } from 'zod';
import { RefusedAck, serverEvents } from '../../src/core/contract/socketio.ts';
import { ErrorCode, RemovalCode } from '../../src/core/errors.ts';
import { InboxItem } from '../../src/core/inbox-item.ts';
import { CustomData, Message, ReactionCount, ReactionDelta, Replies } from '../../src/core/log/message.ts';
import { Room } from '../../src/core/room.ts';
import { Presence } from '../../src/features/presence/contract.ts';
import { ReadReceipt } from '../../src/features/reads/contract.ts';
import { Typist } from '../../src/features/typing/contract.ts';
import { createJsonSchemas, type JsonSchema } from '../../src/transports/http/documents/json-schemas.ts';

/** The types that `src/client/wire.ts` exports, as far as the declarations of the package need them. */
const schemas: Record<string, z.ZodType> = {
  ServerEventPayloads: z.object(serverEvents),
  WireMessage: Message,
  RoomInfo: Room,
  ...{ CustomData, ErrorCode, RemovalCode, InboxItem, ReactionCount, ReactionDelta, Replies, ReadReceipt, Typist },
  ...{ Presence, RefusedAck },
};

/** Generates the declarations of `wire.ts` without zod, on which the contracts depend, but the package does not. */
export async function generateWireTypes(): Promise<string> {
  const { components, toJsonSchema } = createJsonSchemas();
  const properties = Object.fromEntries(
    Object.entries(schemas).map(([name, schema]) => [name, nameInlineSchema(name, toJsonSchema(schema))]),
  );
  const aliases = Object.entries(properties).flatMap(([name, { $ref }]) => {
    const target = typeof $ref === 'string' ? $ref.split('/').at(-1) : name;
    return target === name ? [] : [`export type ${name} = ${target};`];
  });
  const text = JSON.stringify({
    ...{ title: 'WireTypes', type: 'object', properties, required: Object.keys(properties), $defs: components },
  });
  const declarations = await compile(JSON.parse(text.replaceAll('#/components/schemas/', '#/$defs/')), 'WireTypes', {
    ...{ additionalProperties: false, ignoreMinAndMaxItems: true, bannerComment: '' },
  });
  return `${declarations}\n${aliases.join('\n')}\n`;
}

/** A schema without an `id` is not in `$defs`. Its declaration gets its name from its title. */
const nameInlineSchema = (title: string, schema: JsonSchema) => ('$ref' in schema ? schema : { ...schema, title });

import { z } from 'zod';

export type JsonSchema = Record<string, unknown>;

export interface JsonSchemas {
  /** Schemas with an `id`, for the document's `components.schemas`. */
  readonly components: Record<string, JsonSchema>;
  /** The schema as it appears in the document; a schema with an `id` becomes a reference. */
  toJsonSchema(schema: z.ZodType): JsonSchema;
}

/** The protocol's schemas as JSON Schema, as they are on the wire: before defaults and transforms. */
export function createJsonSchemas(): JsonSchemas {
  const components: Record<string, JsonSchema> = {};
  return {
    components,
    toJsonSchema(schema) {
      // Wrapped in another schema; otherwise a schema with an `id` would not become a reference.
      const wrapped = z.toJSONSchema(z.object({ schema }), { io: 'input', override: finish });
      Object.assign(components, pointToComponents(wrapped.$defs ?? {}));
      return pointToComponents(wrapped.properties!.schema as JsonSchema);
    },
  };
}

function pointToComponents<T>(schema: T): T {
  return JSON.parse(JSON.stringify(schema).replaceAll('"#/$defs/', '"#/components/schemas/')) as T;
}

type Override = NonNullable<NonNullable<Parameters<typeof z.toJSONSchema>[1]>['override']>;

const finish: Override = ({ zodSchema, jsonSchema }) => {
  // Clients ignore unknown keys, so that later versions can add some.
  if (jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
  if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
  if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
  // zod omits these two for transforms; our transforms do not change them on the wire.
  const { def } = zodSchema._zod;
  if (def.type === 'default') jsonSchema.default = def.defaultValue as never;
  const { examples } = z.globalRegistry.get(zodSchema) ?? {};
  if (examples) jsonSchema.examples = examples as never;
};

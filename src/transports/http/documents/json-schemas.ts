import { z } from 'zod';

export type JsonSchema = Record<string, unknown>;

export interface JsonSchemas {
  /** Those that have an `id`, for the document's `components.schemas`. */
  readonly components: Record<string, JsonSchema>;
  /** The schema for its place in the document; what has an `id` is referred to. */
  toJsonSchema(schema: z.ZodType): JsonSchema;
}

/** The protocol's schemas as JSON Schema, as they are on the wire: before anything is read into them. */
export function createJsonSchemas(): JsonSchemas {
  const components: Record<string, JsonSchema> = {};
  return {
    components,
    toJsonSchema(schema) {
      // Inside of another one, or a schema with an `id` would not be referred to.
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
  // Clients ignore keys that they do not know, so that there can be more of them one day.
  if (jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
  if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
  if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
  // zod leaves these two away where a value is read into another one; ours are the same on the wire.
  const { def } = zodSchema._zod;
  if (def.type === 'default') jsonSchema.default = def.defaultValue as never;
  const { examples } = z.globalRegistry.get(zodSchema) ?? {};
  if (examples) jsonSchema.examples = examples as never;
};

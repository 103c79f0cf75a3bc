import { z } from 'zod';

export type JsonSchema = Record<string, unknown>;

export interface JsonSchemas {
  /** Schemas with an `id`, for the document's `components.schemas`. */
  readonly components: Record<string, JsonSchema>;
  /** The schema as it appears in the document; a schema with an `id` becomes a reference. */
  toJsonSchema(schema: z.ZodType): JsonSchema;
}

/** Converts schemas to JSON Schema. Describes the values on the wire, that is, before defaults and transforms. */
export function createJsonSchemas(): JsonSchemas {
  const components: Record<string, JsonSchema> = {};
  return {
    components,
    toJsonSchema(schema) {
      // zod creates references only for schemas inside another schema, so the schema is wrapped.
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
  // Objects may have other keys: clients ignore unknown keys, so that later versions of the server can add keys.
  if (jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
  if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
  if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
  // zod omits `default` and `examples` of schemas with a transform. They are still correct, because they describe the
  // value before the transform.
  const { def } = zodSchema._zod;
  if (def.type === 'default') jsonSchema.default = def.defaultValue as never;
  const { examples } = z.globalRegistry.get(zodSchema) ?? {};
  if (examples) jsonSchema.examples = examples as never;
};

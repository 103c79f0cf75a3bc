import { compile } from 'json-schema-to-typescript';
import { features } from '../../src/features/index.ts';
import type { JsonSchema } from '../../src/transports/http/documents/json-schemas.ts';
import { createOpenapiDocument } from '../../src/transports/http/documents/openapi.ts';

interface Parameter {
  name: string;
  in: string;
  required: boolean;
  description?: string;
  schema: JsonSchema;
}

interface Content {
  content?: Record<string, { schema: JsonSchema }>;
}

interface Operation {
  summary: string;
  description?: string;
  parameters?: Parameter[];
  requestBody?: Content;
  responses: Record<string, Content | { $ref: string }>;
}

/**
 * Generates the type that openapi-fetch takes, of the routes for users: by path and method, what each takes and answers. It
 * is the type that openapi-typescript would generate, which needs another version of TypeScript than this project.
 */
export async function generateRestPaths(): Promise<string> {
  const { paths, components } = createOpenapiDocument(
    features.map(({ contract }) => contract),
    'public',
  );
  const describeOperation = ({ summary, description, parameters = [], requestBody, responses }: Operation) => ({
    ...describeObject({
      parameters: describeParameters(parameters),
      ...(requestBody && { requestBody: describeContent(requestBody) }),
      responses: describeObject(
        mapValues(responses, (response) =>
          describeContent('$ref' in response ? findResponse(components.responses, response.$ref) : response),
        ),
      ),
    }),
    description: [summary, description].filter(Boolean).join('\n\n'),
  });
  const forUsers = Object.entries(paths as Record<string, Record<string, Operation>>).filter(([path]) =>
    path.startsWith('/rooms'),
  );
  const schema = describeObject(
    Object.fromEntries(
      forUsers.map(([path, operations]) => [path, describeObject(mapValues(operations, describeOperation))]),
    ),
  );
  const text = JSON.stringify({ ...schema, title: 'Paths', $defs: components.schemas });
  const complete = JSON.parse(text.replaceAll('#/components/schemas/', '#/$defs/'), dropRequiredGroups);
  const declarations = await compile(complete, 'Paths', {
    ...{ additionalProperties: false, ignoreMinAndMaxItems: true, bannerComment: '' },
  });
  // openapi-fetch finds the statuses only if they are numbers.
  return declarations.replaceAll(/^(\s*)"(\d{3})":/gm, '$1$2:');
}

/** "At least one of these fields" is left out: as a type, it would allow any other field. */
const dropRequiredGroups = (name: string, value: unknown) =>
  (name === 'anyOf' || name === 'oneOf') && (value as JsonSchema[]).every(hasOnlyRequired) ? undefined : value;

const hasOnlyRequired = (schema: JsonSchema) => Object.keys(schema).join() === 'required';

const describeObject = (properties: Record<string, JsonSchema>, required = Object.keys(properties)): JsonSchema => ({
  ...{ type: 'object', properties, required },
});

function describeParameters(parameters: Parameter[]): JsonSchema {
  const places = Object.groupBy(parameters, (parameter) => parameter.in) as Record<string, Parameter[]>;
  const isNeeded = (place: string) => places[place]!.some(({ required }) => required);
  return describeObject(
    mapValues(places, (inPlace) =>
      describeObject(
        Object.fromEntries(inPlace.map(({ name, schema, description }) => [name, addDescription(schema, description)])),
        inPlace.filter(({ required }) => required).map(({ name }) => name),
      ),
    ),
    Object.keys(places).filter(isNeeded),
  );
}

const describeContent = ({ content = {} }: Content): JsonSchema =>
  describeObject({ content: describeObject(mapValues(content, ({ schema }) => schema)) });

/** A schema that has a name keeps it, and its own description. */
const addDescription = (schema: JsonSchema, description: string | undefined): JsonSchema =>
  '$ref' in schema || !description ? schema : { ...schema, description };

const findResponse = (responses: Record<string, unknown>, ref: string) => responses[ref.split('/').at(-1)!] as Content;

const mapValues = <T>(object: Record<string, T>, map: (value: T) => JsonSchema): Record<string, JsonSchema> =>
  Object.fromEntries(Object.entries(object).map(([key, value]) => [key, map(value)]));

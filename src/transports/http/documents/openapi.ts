import type { z } from 'zod';
import { type Answer, Refusal, type Route } from '../../../core/contract/rest.ts';
import { type ErrorCode, errors } from '../../../core/errors.ts';
import type { Contract } from '../../../core/feature.ts';
import { transportContracts } from './contract.ts';
import { createJsonSchemas, type JsonSchema, type JsonSchemas } from './json-schemas.ts';
import { readPackageInfo } from './package-info.ts';

/** Who a document is for: the clients of the service, or the product's own backend. */
export type Readers = 'public' | 'admin';

const envelope = `Every answer, errors included, is an envelope: \`meta.code\` is the status, \`meta.reason\` the error code,
\`content\` the result. A trailing slash is fine. Clients and the server ignore unknown keys.`;

const descriptions: Record<Readers, string> = {
  public: `Rooms, permissions and message history. [AsyncAPI](asyncapi.json) describes the live protocols over Socket.IO and a plain
WebSocket.

Below \`/rooms\`: ${envelope} A path or a method that is not described here is 404 \`NOT_FOUND\`, except for the page at \`/\` and its files.
CORS is open to any origin, without credentials, or to those of \`ALLOWED_ORIGINS\` (others get 403 \`FORBIDDEN\`), except for
\`/healthz\`, \`/readyz\` and \`/metrics\`.`,
  admin: `The server API, for the product's own backend. It exists only if the server has an \`ADMIN_TOKEN\`. The backend is above
the rules of a room: no rule, limit or rate of users binds it.

${envelope} No answer has CORS headers.`,
};

const securitySchemes = {
  userToken: {
    type: 'http',
    scheme: 'bearer',
    bearerFormat: 'JWT',
    description: "Signed by the product's own backend; it identifies the caller.",
  },
  adminToken: { type: 'http', scheme: 'bearer', description: 'An `ADMIN_TOKEN` of the server.' },
  metricsToken: { type: 'http', scheme: 'bearer', description: 'The `METRICS_TOKEN` of the server, if it has one.' },
};

const { userToken, adminToken, metricsToken } = securitySchemes;
const schemes = { public: { userToken, metricsToken }, admin: { adminToken } };

const securities = {
  user: [{ userToken: [] }],
  admin: [{ adminToken: [] }],
  metrics: [{}, { metricsToken: [] }],
  none: [],
};

/** Creates the OpenAPI 3.1 document of the routes that are for these readers, including the routes of the documents. */
export function createOpenapiDocument(features: readonly Contract[], readers: Readers) {
  const contracts = [...features, ...transportContracts]
    .map((contract) => ({ ...contract, rest: selectRoutes(contract.rest, readers) }))
    .filter(({ rest }) => Object.keys(rest).length > 0);
  const { name, version, license } = readPackageInfo();
  const schemas = createJsonSchemas();
  const refusals = createRefusalResponses(schemas);
  const paths: Record<string, Record<string, unknown>> = {};
  for (const { name: tag, rest } of contracts) {
    for (const [operationId, route] of Object.entries<Route>(rest)) {
      const path = route.path.replaceAll(/:(\w+)/g, '{$1}');
      const operation = { operationId, tags: [tag], ...describeRoute(route, schemas, refusals.toResponse) };
      paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation };
    }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: name,
      version,
      description: descriptions[readers],
      license: { name: license, identifier: license },
    },
    // Relative to the URL of this document, because the service may be mounted below a path.
    servers: [{ url: readers === 'admin' ? '..' : '.' }],
    tags: contracts.map(({ name, description }) => ({ name, description })),
    paths,
    components: {
      schemas: schemas.components,
      responses: refusals.components,
      headers,
      securitySchemes: schemes[readers],
    },
  };
}

const selectRoutes = (routes: Record<string, Route>, readers: Readers) =>
  Object.fromEntries(
    Object.entries(routes).filter(([, { path }]) => path.startsWith('/admin/') === (readers === 'admin')),
  );

function describeRoute(route: Route, schemas: JsonSchemas, toRefusal: (status: number, codes: ErrorCode[]) => object) {
  const { summary, description, auth, params, query, headers, body, answers, refusals } = route;
  const parameters = [
    ...toParameters('path', params, schemas),
    ...toParameters('query', query, schemas),
    ...toParameters('header', headers, schemas),
  ];
  const codesByStatus = Map.groupBy(refusals, (code) => errors[code].http);
  const responses = [
    ...Object.entries(answers).map(
      ([status, answer]) => [status, createResponse(answer, Number(status), schemas)] as const,
    ),
    ...[...codesByStatus].map(([status, codes]) => [String(status), toRefusal(status, codes)] as const),
  ];
  return {
    summary,
    ...(description !== undefined && { description }),
    ...(parameters.length > 0 && { parameters }),
    ...(body && { requestBody: { required: true, content: { 'application/json': toRequestBody(body, schemas) } } }),
    responses: Object.fromEntries(responses),
    security: securities[auth],
  };
}

function toRequestBody({ schema, examples }: NonNullable<Route['body']>, schemas: JsonSchemas) {
  const shown = Object.entries(examples).map(([summary, value]) => [summary, { summary, value }]);
  return { schema: schemas.toJsonSchema(schema), examples: Object.fromEntries(shown) };
}

function toParameters(location: 'path' | 'query' | 'header', schema: z.ZodType | undefined, schemas: JsonSchemas) {
  if (!schema) return [];
  const { properties, required = [] } = schemas.toJsonSchema(schema) as {
    properties: Record<string, JsonSchema>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, { description, ...shape }]) => ({
    name,
    in: location,
    required: location === 'path' || (required.includes(name) && !('default' in shape)),
    ...(description !== undefined && { description }),
    schema: toParameterSchema(shape),
  }));
}

/**
 * Parameters in a URL are always text, so some schemas accept a number or a string with its digits. The document shows
 * only the number.
 */
function toParameterSchema({ anyOf, ...shape }: JsonSchema): JsonSchema {
  const [first, second] = (anyOf ?? []) as JsonSchema[];
  if (!first?.type || second?.type !== 'string') return anyOf ? { anyOf, ...shape } : shape;
  return { ...first, ...shape };
}

function createResponse(
  { description, type = 'application/json', schema, example }: Answer,
  status: number,
  schemas: JsonSchemas,
) {
  return {
    description,
    ...(status === 401 && { headers: { 'WWW-Authenticate': { $ref: '#/components/headers/WwwAuthenticate' } } }),
    content: { [type]: { schema: schemas.toJsonSchema(schema), ...(example !== undefined && { example }) } },
  };
}

const headers = {
  WwwAuthenticate: { description: 'How to authenticate.', required: true, schema: { type: 'string', const: 'Bearer' } },
  RetryAfter: {
    description: 'Seconds until the client may retry. Missing if the time is unknown.',
    schema: { type: 'string', pattern: '^[0-9]+$' },
    example: '4',
  },
};

const headersByStatus: { [status: number]: object } = {
  401: { 'WWW-Authenticate': { $ref: '#/components/headers/WwwAuthenticate' } },
  429: { 'Retry-After': { $ref: '#/components/headers/RetryAfter' } },
  503: { 'Retry-After': { $ref: '#/components/headers/RetryAfter' } },
};

/** Creates one response for each combination of status and error codes. All routes with this combination refer to it. */
function createRefusalResponses(schemas: JsonSchemas) {
  const components: Record<string, object> = {};
  const refusal = schemas.toJsonSchema(Refusal);
  return {
    components,
    toResponse(status: number, codes: ErrorCode[]) {
      const name = codes.join('.');
      const narrowed = { code: { const: status }, reason: { enum: codes } };
      const examples = codes.map((code) => [code, { value: createRefusalExample(code) }]);
      components[name] = {
        description: codes.map((code) => `\`${code}\`: ${errors[code].message}.`).join('\n\n'),
        ...(headersByStatus[status] && { headers: headersByStatus[status] }),
        content: {
          'application/json': {
            schema: { allOf: [refusal, { properties: { meta: { properties: narrowed } } }] },
            examples: Object.fromEntries(examples),
          },
        },
      };
      return { $ref: `#/components/responses/${name}` };
    },
  };
}

function createRefusalExample(code: ErrorCode) {
  const { http, message } = errors[code];
  const more = code === 'RATE_LIMITED' ? { retry_after_ms: 3_777 } : {};
  return { meta: { code: http, message, reason: code, ...more }, content: null };
}

import { createOpenapiDocument, type Readers } from '../../src/transports/http/documents/openapi.ts';
import { contracts } from './contracts.ts';
import type { Json } from './json.ts';
import { type Check, createCheck, disallowUnknownKeys } from './json-checks.ts';
import type { Exchange } from './rest-calls.ts';

interface Document {
  document: Json;
  checkRequest: Check;
  checkAnswer: Check;
}

/** Creates the document in this process. A separate test checks that the server serves the same document. */
function readDocument(readers: Readers): Document {
  const document: Json = JSON.parse(JSON.stringify(createOpenapiDocument(contracts, readers)));
  return { document, checkRequest: createCheck(document), checkAnswer: createCheck(disallowUnknownKeys(document)) };
}

const publicDocument = readDocument('public');
const documents = [publicDocument, readDocument('admin')];

interface Operation extends Document {
  id: string;
  place: string[];
  operation: Json;
  pattern: RegExp;
  method: string;
}

const operations: Operation[] = documents.flatMap((source) => listOperations(source));

function listOperations(source: Document): Operation[] {
  return Object.entries<Json>(source.document.paths).flatMap(([path, item]) =>
    Object.entries<Json>(item).map(([method, operation]) => ({
      ...source,
      id: operation.operationId,
      place: ['paths', path, method],
      operation,
      // Express accepts a trailing slash and ignores the case of letters.
      pattern: new RegExp(`^${path.replaceAll(/\{(\w+)\}/g, '(?<$1>[^/]+)')}/?$`, 'i'),
      method: method.toUpperCase(),
    })),
  );
}

/** The documented results that this process has seen: `operation status`, and `operation status reason`. */
export const seenOnRest = new Set<string>();

/** All documented results with these statuses. */
export const documentedOnRest: string[] = operations.flatMap((one) =>
  Object.keys(one.operation.responses).flatMap((status) => {
    const { id } = one;
    const { response } = findResponse(one, status)!;
    const examples = response.content['application/json']?.examples;
    return examples ? Object.keys(examples).map((reason) => `${id} ${status} ${reason}`) : [`${id} ${status}`];
  }),
);

/** Pages and their files, and Engine.IO requests, which the document does not describe. */
const notDescribed = /^\/$|^\/(docs|playground|socket\.io)\//i;

/** Returns in what way the request or its response is not documented. */
export function undocumented(exchange: Exchange): string | undefined {
  const [path = '', query] = exchange.path.split('?', 2) as [string, string?];
  const method = exchange.method === 'HEAD' ? 'GET' : exchange.method;
  const found = operations.find((one) => one.method === method && one.pattern.test(path));
  if (found) return answerProblem(found, exchange) ?? acceptedProblem(found, path, query, exchange);
  if (notDescribed.test(path) || isPreflight(exchange)) return undefined;
  return unknownPathProblem(exchange);
}

const isPreflight = ({ method, status }: Exchange) => method === 'OPTIONS' && status === 204;

function findResponse(
  { document, operation }: Operation,
  status: number | string,
): { place: string[]; response: Json } | undefined {
  const response = operation.responses[status];
  if (!response?.$ref) return response && { place: [], response };
  const place = response.$ref.slice(2).split('/') as string[];
  return { place, response: document.components.responses[place.at(-1)!] };
}

function answerProblem(one: Operation, exchange: Exchange): string | undefined {
  const { id, place, checkAnswer } = one;
  const { method, status, answer, answerHeader } = exchange;
  const found = findResponse(one, status);
  if (!found) return `${id} does not answer ${status}`;
  const { response } = found;
  const at = found.place.length > 0 ? found.place : [...place, 'responses', String(status)];
  const type = answerHeader('Content-Type')?.split(';', 1)[0] ?? '';
  if (!response.content[type]) return `${id} ${status} has no ${type}`;
  const reason = method === 'HEAD' ? undefined : answer?.meta?.reason;
  const problem =
    headersProblem(one, response.headers, answerHeader) ??
    (method === 'HEAD' ? undefined : checkAnswer([...at, 'content', type, 'schema'], answer));
  if (problem) return `${id} ${status}: ${problem}`;
  seenOnRest.add([id, status, reason].filter(Boolean).join(' '));
  return undefined;
}

function headersProblem(
  { document, checkAnswer }: Document,
  headers: Json,
  answerHeader: Exchange['answerHeader'],
): string | undefined {
  for (const [name, { $ref }] of Object.entries<Json>(headers ?? {})) {
    const place = $ref.slice(2).split('/') as string[];
    const value = answerHeader(name);
    if (value === null) {
      if (document.components.headers[place.at(-1)!].required) return `the header ${name} is missing`;
    } else {
      const problem = checkAnswer([...place, 'schema'], value);
      if (problem) return `the header ${name}: ${problem}`;
    }
  }
  return undefined;
}

/** The document must allow every request that the server accepts; otherwise the document is too narrow. */
function acceptedProblem(
  { id, place, operation, pattern, checkRequest }: Operation,
  path: string,
  query: string | undefined,
  { status, body, header }: Exchange,
): string | undefined {
  if (status >= 300) return undefined;
  const given: Record<string, (name: string) => string | null | undefined> = {
    path: (name) => decodeURIComponent(pattern.exec(path)!.groups![name]!),
    query: (name) => new URLSearchParams(query).get(name),
    header,
  };
  for (const [n, parameter] of (operation.parameters ?? []).entries()) {
    const value = given[parameter.in]!(parameter.name) ?? undefined;
    const problem = parameterProblem(
      checkRequest,
      [...place, 'parameters', String(n), 'schema'],
      parameter.required,
      value,
    );
    if (problem) return `${id} was accepted, although the document says of ${parameter.name}: ${problem}`;
  }
  if (!operation.requestBody) return undefined;
  const at = [...place, 'requestBody', 'content', 'application/json', 'schema'];
  const problem = checkRequest(at, JSON.parse(body ?? 'null'));
  return problem && `${id} was accepted, although the document says of the body: ${problem}`;
}

/** Checks a parameter as text, and as the value that the text represents. */
function parameterProblem(
  checkRequest: Check,
  place: string[],
  required: boolean,
  value: string | undefined,
): string | undefined {
  if (value === undefined) return required ? 'it is needed' : undefined;
  const asText = checkRequest(place, value);
  const spelled = /^(true|false|-?[0-9]+)$/.test(value) ? JSON.parse(value.replace(/^0+(?=.)/, '')) : value;
  return asText && checkRequest(place, spelled);
}

const refusalsAnywhere = new Set([
  'BAD_REQUEST',
  'TOO_LARGE',
  'UNAUTHENTICATED',
  'TOKEN_EXPIRED',
  'TOKEN_REVOKED',
  'NOT_FOUND',
]);

/** A path that is not documented must not exist, or must be refused before it is processed. */
function unknownPathProblem({ method, status, answer }: Exchange): string | undefined {
  if (method === 'HEAD') return status === 404 || status === 401 ? undefined : 'the document has no such operation';
  const problem = publicDocument.checkAnswer(['components', 'schemas', 'Refusal'], answer);
  if (problem || !refusalsAnywhere.has(answer.meta.reason)) return 'the document has no such operation';
  return answer.meta.code === status ? undefined : `${status} is not ${answer.meta.code}`;
}

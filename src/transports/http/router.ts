import type { Request, RequestHandler, Response, Router } from 'express';
import type { Actor } from '../../core/authorization.ts';
import type { Route } from '../../core/contract/rest.ts';
import { ChatError } from '../../core/errors.ts';
import { parse, parseWithIgnored } from '../../core/parse.ts';
import type { RegisteredRoute } from '../../core/registry.ts';
import { answer } from './envelope.ts';

/** Adds these routes to the router. Mount checks, such as authentication, before. */
export function mountRoutes(
  router: Router,
  routes: readonly RegisteredRoute[],
  getActor: (request: Request) => Actor | undefined,
): Router {
  for (const registered of routes) {
    const { method, path } = registered.route;
    router[methods[method]](path, createHandler(registered, getActor));
  }
  return router;
}

/** Matches the paths of the route, as Express does. */
export const toPathPattern = ({ path }: Pick<Route, 'path'>): RegExp =>
  new RegExp(`^${path.replaceAll(/:[^/]+/g, '[^/]+')}/?$`, 'i');

const methods = { GET: 'get', POST: 'post', PUT: 'put', PATCH: 'patch', DELETE: 'delete' } as const;

function createHandler(
  { route, handle }: RegisteredRoute,
  getActor: (request: Request) => Actor | undefined,
): RequestHandler {
  return async (request, response) => {
    const { ignored, ...input } = parseRequest(route, request);
    const reply = await handle({ actor: getActor(request), ...input });
    if ('text' in reply) sendText(response, reply);
    else answer(response, reply.content, { code: reply.code, ...reply.meta, ignored });
  };
}

function sendText(response: Response, { code, type = 'text', text }: { code: number; type?: string; text: string }) {
  response.status(code).type(type).send(text);
}

/** Throws for the first invalid part, in this order: path, query, body, fields from headers. */
function parseRequest({ params, query, body, headers, headerFields = {} }: Route, request: Request) {
  const path = params && parse(params, request.params);
  const search = query && parseWithIgnored(query, request.query).data;
  if (!body) return { params: path, query: search, body: undefined, ignored: [] };
  if (request.body === undefined) {
    const hint = body.schema.safeParse({}).success ? ', or {} for the defaults' : '';
    throw new ChatError('BAD_REQUEST', { message: `the body is missing: send a JSON object${hint}` });
  }
  const { data, ignored } = parseWithIgnored(body.schema, request.body) as {
    data: Record<string, unknown>;
    ignored: string[];
  };
  for (const [header, field] of Object.entries(headerFields)) {
    if (headers) data[field] ??= parseHeader(headers, header, request);
  }
  return { params: path, query: search, body: data, ignored };
}

function parseHeader(headers: NonNullable<Route['headers']>, name: string, request: Request): unknown {
  // A string in a structured field is quoted, and so is an entity tag.
  const value = request.get(name)?.replace(/^"(.*)"$/, '$1');
  return parse(headers, { [name]: value })[name];
}

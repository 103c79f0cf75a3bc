import express, { type RequestHandler, type Response, Router } from 'express';
import helmet from 'helmet';
import { z } from 'zod';
import { parse } from '../../protocol/errors.ts';
import { Level, Uuid } from '../../protocol/identifiers.ts';
import { isBearer } from './bearer.ts';
import { answer } from './envelope.ts';
import { comesFromOwnPage } from './own-page.ts';
import { playgroundFiles, type ServedFile } from './playground-files.ts';

const TokenWish = z.object(
  {
    userUUID: Uuid,
    entityUUID: Uuid.optional(),
    levelOnEntity: Level.default(0),
    scope: z.string({ error: 'must be a string' }).max(255, 'must be at most 255 characters').optional(),
  },
  { error: 'the body must be a JSON object' },
);
type TokenWish = z.infer<typeof TokenWish>;

interface TokenMaker {
  /** Only the page that was opened by the link with this key gets tokens. */
  key: string;
  sign: (claims: TokenWish) => Promise<string>;
}

interface Playground {
  /** Undefined where this server makes no tokens. Asked at each request: it depends on the listener, too. */
  tokens: () => TokenMaker | undefined;
}

/** The page to try the service out. It stands before CORS: no other page has business here. */
export function playgroundRoutes({ tokens }: Playground): Router {
  const routes = Router();
  const files = playgroundFiles();

  routes.get('/', contentSecurity(files.importMapHash), async (_request, response) => {
    // Without a referrer some browsers call the origin of a request null.
    response.set('Referrer-Policy', 'same-origin');
    send(response, await files.page(tokens() ? 'made here' : 'pasted'));
  });

  routes.get('/playground/*path', async (request, response, next) => {
    const file = await files.file((request.params.path as unknown as string[]).join('/'));
    if (!file) return next();
    send(response, file);
  });

  // Without the key this is no route at all. Which headers a proxy adds or leaves out decides nothing.
  const forOwnPage: RequestHandler = (request, _response, next) => {
    const key = tokens()?.key;
    const hasKey = key !== undefined && isBearer(request.get('Authorization'), key);
    next(hasKey && comesFromOwnPage(request) ? undefined : 'route');
  };
  routes.post('/playground/token', forOwnPage, express.json({ limit: 4_096 }), async (request, response) => {
    const token = await tokens()!.sign(parse(TokenWish, request.body));
    response.set({ 'Cache-Control': 'no-store', 'Cross-Origin-Resource-Policy': 'same-origin' });
    answer(response, { token });
  });

  return routes;
}

function contentSecurity(importMapHash: string): RequestHandler {
  return helmet.contentSecurityPolicy({
    useDefaults: false,
    directives: {
      defaultSrc: ["'none'"],
      scriptSrc: ["'self'", importMapHash],
      styleSrc: ["'self'"],
      imgSrc: ["'self'", 'data:'],
      connectSrc: ["'self'", 'ws:', 'wss:'],
      baseUri: ["'none'"],
      formAction: ["'none'"],
      frameAncestors: ["'none'"],
    },
  });
}

/** Asked anew each time, and sent again where it is another one. */
function send(response: Response, { type, text, etag }: ServedFile): void {
  response.set({ 'Cache-Control': 'no-cache', 'Cross-Origin-Resource-Policy': 'same-origin', ETag: etag });
  response.type(type).send(text);
}

import express, { type RequestHandler, type Response, Router } from 'express';
import helmet from 'helmet';
import { z } from 'zod';
import { parse } from '../../protocol/errors.ts';
import { Level, Uuid } from '../../protocol/identifiers.ts';
import { answer } from './envelope.ts';
import { comesFromOwnPage, comesFromThisMachine } from './own-page.ts';
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

interface Playground {
  /** Makes tokens for its own page; undefined where this server may not. Asked at each request: the listener decides, too. */
  signer: () => ((claims: TokenWish) => Promise<string>) | undefined;
}

/** The page to try the service out. It stands before CORS: no other page has business here. */
export function playgroundRoutes({ signer }: Playground): Router {
  const routes = Router();
  const files = playgroundFiles();

  routes.get('/', contentSecurity(files.importMapHash), async (request, response) => {
    // Without a referrer some browsers call the origin of a request null.
    response.set('Referrer-Policy', 'same-origin');
    const madeHere = signer() !== undefined && comesFromThisMachine(request);
    send(response, await files.page(madeHere ? 'made here' : 'pasted'));
  });

  routes.get('/playground/*path', async (request, response, next) => {
    const file = await files.file((request.params.path as unknown as string[]).join('/'));
    if (!file) return next();
    send(response, file);
  });

  // For everybody but its own page on this machine this is no route at all.
  const forOwnPage: RequestHandler = (request, _response, next) => {
    next(signer() && comesFromOwnPage(request) ? undefined : 'route');
  };
  routes.post('/playground/token', forOwnPage, express.json({ limit: 4_096 }), async (request, response) => {
    const token = await signer()!(parse(TokenWish, request.body));
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

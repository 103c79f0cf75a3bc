import express, { type Request, type RequestHandler, type Response, Router } from 'express';
import helmet from 'helmet';
import { z } from 'zod';
import { Level, NonNilUuid, Uuid } from '../../core/ids.ts';
import { parse } from '../../core/parse.ts';
import { isBearer } from './bearer-token.ts';
import { answer } from './envelope.ts';
import { isFromOwnPage } from './loopback.ts';
import { createPlaygroundFiles } from './playground-files.ts';
import { type ServedFile, sendFile } from './served-file.ts';

const TokenRequest = z.object(
  {
    userUUID: NonNilUuid,
    entityUUID: Uuid.optional(),
    levelOnEntity: Level.default(0),
    scope: z.string({ error: 'must be a string' }).max(255, 'must be at most 255 characters').optional(),
  },
  { error: 'the body must be a JSON object' },
);
type TokenRequest = z.infer<typeof TokenRequest>;

interface TokenSigner {
  /** The link to the playground contains this key. Only a page that was opened with it gets tokens. */
  key: string;
  sign: (claims: TokenRequest) => Promise<string>;
}

interface Playground {
  /** Undefined if this server signs no tokens. Called for each request, because it depends on the listen address. */
  getTokenSigner: () => TokenSigner | undefined;
}

/** Serves the playground. Mount this before CORS, because pages of other origins must not use these routes. */
export function createPlaygroundRoutes({ getTokenSigner }: Playground): Router {
  const routes = Router();
  const files = createPlaygroundFiles();

  routes.get('/', createContentSecurityPolicy(files.importMapHash), async (request, response) => {
    // Without a referrer, some browsers send `Origin: null`, and `isFromOwnPage` would reject the request.
    response.set('Referrer-Policy', 'same-origin');
    sendOwnFile(request, response, await files.readPage(getTokenSigner() ? 'made here' : 'pasted'));
  });

  routes.get('/playground/*path', async (request, response, next) => {
    const file = await files.findFile((request.params.path as unknown as string[]).join('/'));
    if (!file) return next();
    sendOwnFile(request, response, file);
  });

  // A request without the key is answered as if the route did not exist. Headers such as `X-Forwarded-For` are not
  // considered, because not every proxy sets them.
  const requireOwnPage: RequestHandler = (request, _response, next) => {
    const key = getTokenSigner()?.key;
    const hasKey = key !== undefined && isBearer(request.get('Authorization'), key);
    next(hasKey && isFromOwnPage(request) ? undefined : 'route');
  };
  routes.post('/playground/token', requireOwnPage, express.json({ limit: 4_096 }), async (request, response) => {
    const token = await getTokenSigner()!.sign(parse(TokenRequest, request.body));
    response.set({ 'Cache-Control': 'no-store', 'Cross-Origin-Resource-Policy': 'same-origin' });
    answer(response, { token });
  });

  return routes;
}

function createContentSecurityPolicy(importMapHash: string): RequestHandler {
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

/** Pages of other origins must not load these files. */
function sendOwnFile(request: Request, response: Response, file: ServedFile): void {
  response.set('Cross-Origin-Resource-Policy', 'same-origin');
  sendFile(request, response, file);
}

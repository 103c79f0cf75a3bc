import { gzipSync } from 'node:zlib';
import express, { type Request, type RequestHandler, type Response, Router } from 'express';
import helmet from 'helmet';
import { z } from 'zod';
import { Level, Uuid } from '../../core/ids.ts';
import { parse } from '../../core/parse.ts';
import { isBearer } from './bearer-token.ts';
import { answer } from './envelope.ts';
import { isFromOwnPage } from './loopback.ts';
import { createPlaygroundFiles, type ServedFile } from './playground-files.ts';

const TokenRequest = z.object(
  {
    userUUID: Uuid,
    entityUUID: Uuid.optional(),
    levelOnEntity: Level.default(0),
    scope: z.string({ error: 'must be a string' }).max(255, 'must be at most 255 characters').optional(),
  },
  { error: 'the body must be a JSON object' },
);
type TokenRequest = z.infer<typeof TokenRequest>;

interface TokenMaker {
  /** Only the page that was opened by the link with this key gets tokens. */
  key: string;
  sign: (claims: TokenRequest) => Promise<string>;
}

interface Playground {
  /** Undefined where this server makes no tokens. Asked at each request: it depends on the listener, too. */
  getTokenMaker: () => TokenMaker | undefined;
}

/** The page to try the service out. It stands before CORS: no other page has business here. */
export function createPlaygroundRoutes({ getTokenMaker }: Playground): Router {
  const routes = Router();
  const files = createPlaygroundFiles();

  routes.get('/', createContentSecurityPolicy(files.importMapHash), async (request, response) => {
    // Without a referrer some browsers call the origin of a request null.
    response.set('Referrer-Policy', 'same-origin');
    sendFile(request, response, await files.readPage(getTokenMaker() ? 'made here' : 'pasted'));
  });

  routes.get('/playground/*path', async (request, response, next) => {
    const file = await files.findFile((request.params.path as unknown as string[]).join('/'));
    if (!file) return next();
    sendFile(request, response, file);
  });

  // Without the key this is no route at all. Which headers a proxy adds or leaves out decides nothing.
  const requireOwnPage: RequestHandler = (request, _response, next) => {
    const key = getTokenMaker()?.key;
    const hasKey = key !== undefined && isBearer(request.get('Authorization'), key);
    next(hasKey && isFromOwnPage(request) ? undefined : 'route');
  };
  routes.post('/playground/token', requireOwnPage, express.json({ limit: 4_096 }), async (request, response) => {
    const token = await getTokenMaker()!.sign(parse(TokenRequest, request.body));
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

/** Compressed once: by the tag of its content. */
const compressed = new Map<string, Buffer>();

function gzipFile({ etag, text }: ServedFile): Buffer {
  let body = compressed.get(etag);
  if (!body) {
    // Only while the sources are edited are there more versions than files.
    if (compressed.size >= 200) compressed.clear();
    body = gzipSync(text);
    compressed.set(etag, body);
  }
  return body;
}

/** The browser asks each time whether there is another version. */
function sendFile(request: Request, response: Response, file: ServedFile): void {
  const { type, text, etag } = file;
  response.set({ 'Cache-Control': 'no-cache', 'Cross-Origin-Resource-Policy': 'same-origin', ETag: etag });
  response.vary('Accept-Encoding').type(type);
  if (!request.acceptsEncodings('gzip')) return void response.send(text);
  response.set({ 'Content-Encoding': 'gzip', ETag: etag.replace(/"$/, '-gzip"') }).send(gzipFile(file));
}

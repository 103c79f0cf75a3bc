import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Router } from 'express';
import helmet from 'helmet';
import { documentRoutes } from '../../../protocol/rest/documents.ts';
import { createAsyncapiDocument } from './asyncapi.ts';
import { createOpenapiDocument } from './openapi.ts';
import { initializer, page, pageFiles } from './swagger-ui.ts';

/** Made when somebody wants it, once in a process. */
const openapi = createTextCache(createOpenapiDocument);
const asyncapi = createTextCache(createAsyncapiDocument);

function createTextCache(make: () => object): () => string {
  let text: string | undefined;
  return () => {
    text ??= JSON.stringify(make());
    return text;
  };
}

/** What there is to read about the service; public. */
export function createDocumentRoutes(): Router {
  const routes = Router();
  const { readOpenapi, readAsyncapi, readDocs } = documentRoutes;

  routes.get(readOpenapi.path, (_request, response) => void response.type('json').send(openapi()));
  routes.get(readAsyncapi.path, (_request, response) => void response.type('json').send(asyncapi()));

  // Where there is no TLS, as in a local network, browsers would look for the files of the page by https.
  routes.use(readDocs.path, helmet.contentSecurityPolicy({ directives: { 'upgrade-insecure-requests': null } }));
  routes.get(readDocs.path, (request, response) => {
    // Relative, for the service may be mounted under a path of its own.
    response.type('html').send(page(request.path.endsWith('/') ? '../' : ''));
  });
  routes.get(`${readDocs.path}/initializer.js`, (_request, response) => void response.type('js').send(initializer));
  const root = dirname(fileURLToPath(import.meta.resolve('swagger-ui-dist/package.json')));
  for (const file of pageFiles) {
    routes.get(`${readDocs.path}/${file}`, (_request, response) => response.sendFile(file, { root }));
  }
  return routes;
}

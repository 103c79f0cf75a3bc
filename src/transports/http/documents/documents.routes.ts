import { findPackageJSON } from 'node:module';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Router } from 'express';
import helmet from 'helmet';
import type { Contract } from '../../../core/feature.ts';
import { codeRoot, fromSources } from '../served-file.ts';
import { createAsyncapiDocument } from './asyncapi.ts';
import { documents } from './contract.ts';
import { createOpenapiDocument } from './openapi.ts';
import { initializer, pageFiles, renderPage } from './swagger-ui.ts';

/** Creates the document at the first call and caches its text. */
function createTextCache(make: () => object): () => string {
  let text: string | undefined;
  return () => {
    text ??= JSON.stringify(make());
    return text;
  };
}

export function createDocumentRoutes(contracts: readonly Contract[]): Router {
  const routes = Router();
  const openapi = createTextCache(() => createOpenapiDocument(contracts, 'public'));
  const asyncapi = createTextCache(() => createAsyncapiDocument(contracts));
  const { readOpenapi, readAsyncapi, readDocs } = documents.rest;

  routes.get(readOpenapi.path, (_request, response) => void response.type('json').send(openapi()));
  routes.get(readAsyncapi.path, (_request, response) => void response.type('json').send(asyncapi()));

  const root = findPageFiles();
  if (root === undefined) return routes;
  // `null` removes this directive. With it, browsers would load the page's files over https, which fails if the service
  // runs without TLS.
  routes.use(readDocs.path, helmet.contentSecurityPolicy({ directives: { 'upgrade-insecure-requests': null } }));
  routes.get(readDocs.path, (request, response) => {
    // The links of the page are relative, because the service may be mounted below a path.
    response.type('html').send(renderPage(request.path.endsWith('/') ? '../' : ''));
  });
  routes.get(`${readDocs.path}/initializer.js`, (_request, response) => void response.type('js').send(initializer));
  for (const file of pageFiles) {
    routes.get(`${readDocs.path}/${file}`, (_request, response) => response.sendFile(file, { root }));
  }
  return routes;
}

/** Serves the document of the routes below `/admin`. It contains no secret, so it needs no token. */
export function createAdminDocumentRoute(contracts: readonly Contract[]): Router {
  const openapi = createTextCache(() => createOpenapiDocument(contracts, 'admin'));
  const { path } = documents.rest.readAdminOpenapi;
  return Router().get(path, (_request, response) => void response.type('json').send(openapi()));
}

/**
 * The build copies the files, so that the published package does not depend on swagger-ui-dist, which has an install
 * script. Returns undefined in a checkout without the development dependencies.
 */
function findPageFiles(): string | undefined {
  if (!fromSources) return fileURLToPath(new URL('swagger-ui/', codeRoot));
  const manifest = findPackageJSON('swagger-ui-dist', import.meta.url);
  return manifest && dirname(manifest);
}

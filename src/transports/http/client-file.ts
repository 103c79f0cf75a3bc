import { readFile } from 'node:fs/promises';
import { type RequestHandler, Router } from 'express';
import { clientBundles } from './client-bundles.ts';
import { clientFiles } from './documents/contract.ts';
import { readPackageInfo } from './documents/package-info.ts';
import { codeRoot, computeEtag, fromSources, type ServedFile, sendFile } from './served-file.ts';
import { createSourceBundle } from './source-bundle.ts';

const immutable = 'public, max-age=31536000, immutable';

/**
 * Serves the client library with all of its parts as one file, for pages without a build step: `/client.js` for a
 * `<script>`, `/client.mjs` for an `import`. With the version in the name, the file never changes, so a page can name its
 * hash in `integrity`.
 */
export function createClientFileRoutes(): Router {
  const routes = Router();
  const { version } = readPackageInfo();
  for (const [extension, { path }] of Object.entries(clientFiles)) {
    const read = createReader(extension as keyof typeof clientFiles);
    const serve =
      (cacheControl?: string): RequestHandler =>
      async (request, response, next) => {
        const file = await read();
        if (file) sendFile(request, response, file, cacheControl);
        else next();
      };
    routes.get(path, serve());
    routes.get(path.replace('/client', `/client-${version}`), serve(immutable));
  }
  return routes;
}

/** Resolves to undefined if the sources cannot be bundled, because esbuild is not installed. */
function createReader(extension: keyof typeof clientFiles): () => Promise<ServedFile | undefined> {
  const { file, ...bundle } = clientBundles[extension];
  const readText = fromSources ? createSourceBundle(codeRoot, bundle) : () => readFile(new URL(file, codeRoot), 'utf8');
  let cached: ServedFile | undefined;
  return async () => {
    const text = await readText();
    if (text === undefined) return undefined;
    if (cached?.text !== text) cached = { type: 'js', text, etag: computeEtag(text) };
    return cached;
  };
}

import { readdir, stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

/** The sources of the bundle. Installed packages are not checked for changes, because they need a restart anyway. */
const sources = ['playground/', 'playground/views/', 'src/client/'];

/**
 * Bundles the modules of the page into one file, again whenever a source has changed. Returns undefined if esbuild is not
 * installed, for example after `npm ci --omit=dev`. The page then loads its modules one by one.
 */
export function createPlaygroundBundle(project: URL): () => Promise<string | undefined> {
  let cached: { version: string; text: Promise<string | undefined> } | undefined;
  return async () => {
    const version = await computeVersion(project);
    if (cached?.version !== version) {
      const text = bundle(project);
      cached = { version, text };
      // A failed build is not cached, so that the next request tries again.
      text.catch(() => {
        if (cached?.text === text) cached = undefined;
      });
    }
    return cached.text;
  };
}

async function computeVersion(project: URL): Promise<string> {
  const times = sources.map(async (directory) => {
    const url = new URL(directory, project);
    const names = (await readdir(url)).filter((name) => name.endsWith('.ts')).sort();
    return Promise.all(names.map(async (name) => `${name} ${(await stat(new URL(name, url))).mtimeMs}`));
  });
  return (await Promise.all(times)).flat().join();
}

async function bundle(project: URL): Promise<string | undefined> {
  const esbuild = await import('esbuild').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ERR_MODULE_NOT_FOUND') return undefined;
    throw error;
  });
  if (!esbuild) return undefined;
  const { outputFiles } = await esbuild.build({
    entryPoints: [fileURLToPath(new URL('playground/main.ts', project))],
    ...{ bundle: true, write: false, format: 'esm', charset: 'utf8', logLevel: 'silent' },
    // Names stay readable in the browser's developer tools.
    ...{ minifySyntax: true, minifyWhitespace: true, legalComments: 'eof' },
  });
  return outputFiles[0]!.text;
}

import { readdir, stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { BuildOptions } from 'esbuild';

interface Bundle {
  /** Relative to the project, like `directories`. */
  entry: string;
  /** The directories of the sources. Installed packages are not checked for changes, because they need a restart anyway. */
  directories: readonly string[];
  options: BuildOptions;
}

/**
 * Bundles the modules of an entry point into one file, again whenever a source has changed. Returns undefined if esbuild
 * is not installed, for example after `npm ci --omit=dev`.
 */
export function createSourceBundle(project: URL, bundle: Bundle): () => Promise<string | undefined> {
  let cached: { version: string; text: Promise<string | undefined> } | undefined;
  return async () => {
    const version = await computeVersion(project, bundle.directories);
    if (cached?.version !== version) {
      const text = build(project, bundle);
      cached = { version, text };
      // A failed build is not cached, so that the next request tries again.
      text.catch(() => {
        if (cached?.text === text) cached = undefined;
      });
    }
    return cached.text;
  };
}

async function computeVersion(project: URL, directories: readonly string[]): Promise<string> {
  const times = directories.map(async (directory) => {
    const url = new URL(directory, project);
    const names = (await readdir(url)).filter((name) => name.endsWith('.ts')).sort();
    return Promise.all(names.map(async (name) => `${name} ${(await stat(new URL(name, url))).mtimeMs}`));
  });
  return (await Promise.all(times)).flat().join();
}

async function build(project: URL, { entry, options }: Bundle): Promise<string | undefined> {
  const esbuild = await import('esbuild').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ERR_MODULE_NOT_FOUND') return undefined;
    throw error;
  });
  if (!esbuild) return undefined;
  const { outputFiles } = await esbuild.build({
    ...options,
    entryPoints: [fileURLToPath(new URL(entry, project))],
    ...{ bundle: true, write: false, charset: 'utf8', logLevel: 'silent', legalComments: 'eof' },
  });
  return outputFiles![0]!.text;
}

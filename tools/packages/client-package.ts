import { copyFileSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { transform } from 'esbuild';
import { readManifest, selectProjectFields, writeManifest } from './manifest.ts';
import { generateRestPaths } from './rest-paths.ts';
import { generateWireTypes } from './wire-types.ts';

/** The entry points of the package, by the names that users import. */
const entryPoints = {
  ...{ '.': 'client', './inbox': 'inbox', './storage': 'storage', './react': 'react', './rest': 'rest' },
} as const;

/** In which directory each format is, and the type of its files. */
const formats = { esm: 'module', cjs: 'commonjs' } as const;

/**
 * Writes the package `nano-messaging-client` as a directory, from the build in `dist`. The declarations are the same for
 * both formats: the `package.json` beside them tells TypeScript what they describe.
 */
export async function stageClientPackage(root: string, output: string): Promise<string> {
  const directory = join(output, 'nano-messaging-client');
  const compiled = join(root, 'dist/src/client');
  const modules = listModules(compiled, '.js');
  const declarations = listModules(compiled, '.d.ts');
  const generated: Record<string, string> = {
    wire: await generateWireTypes(),
    'rest-paths': await generateRestPaths(),
  };
  for (const [format, type] of Object.entries(formats)) {
    const target = join(directory, 'dist', format);
    mkdirSync(target, { recursive: true });
    writeManifest(target, { type });
    for (const name of modules) {
      const source = readFileSync(join(compiled, `${name}.js`), 'utf8').replace(/^\/\/# sourceMappingURL=.*$/m, '');
      const { code } = await transform(source, {
        ...{ format: format as keyof typeof formats, target: 'es2022', charset: 'utf8' },
        ...{ supported: { 'dynamic-import': true } },
      });
      writeFileSync(join(target, `${name}.js`), code);
    }
    for (const name of declarations) {
      const isCopy = name in generated && format === 'esm';
      // The generated types are large. ES modules may import those of CommonJS, but not the other way round.
      const types = isCopy
        ? `export type * from '../cjs/${name}.js';\n`
        : (generated[name] ?? readFileSync(join(compiled, `${name}.d.ts`), 'utf8'));
      writeFileSync(
        join(target, `${name}.d.ts`),
        types.replaceAll(/(from |import |import\()(['"]\.\/[^'"]+)\.ts(['"])/g, '$1$2.js$3'),
      );
    }
  }
  for (const file of ['nano-messaging.js', 'nano-messaging.mjs']) {
    copyFileSync(join(root, 'dist/client', file), join(directory, 'dist', file));
  }
  cpSync(join(root, 'LICENSE'), join(directory, 'LICENSE'));
  const manifest = readManifest(root);
  const guide = readFileSync(join(root, 'docs/guides/client.md'), 'utf8');
  writeFileSync(join(directory, 'README.md'), resolveLinks(guide, manifest.homepage));
  writeManifest(directory, {
    name: 'nano-messaging-client',
    description:
      'Live chat rooms of nano-messaging in browsers, React Native and Node.js: messages in order, without gaps or duplicates.',
    keywords: ['chat', 'messaging', 'rooms', 'real-time', 'socket.io', 'react'],
    ...selectProjectFields(manifest),
    type: 'module',
    exports: {
      ...Object.fromEntries(Object.entries(entryPoints).map(([name, module]) => [name, toConditions(module)])),
      './package.json': './package.json',
    },
    // For tools that do not know `exports`.
    ...{ main: './dist/cjs/client.js', module: './dist/esm/client.js', types: './dist/cjs/client.d.ts' },
    ...{ unpkg: './dist/nano-messaging.js', jsdelivr: './dist/nano-messaging.js' },
    sideEffects: false,
    dependencies: {
      'socket.io-client': manifest.dependencies['socket.io-client'],
      'openapi-fetch': manifest.devDependencies['openapi-fetch'],
    },
    peerDependencies: { react: '>=18' },
    peerDependenciesMeta: { react: { optional: true } },
  });
  return directory;
}

const toConditions = (module: string) => {
  const toFiles = (format: keyof typeof formats) => ({
    types: `./dist/${format}/${module}.d.ts`,
    default: `./dist/${format}/${module}.js`,
  });
  return { import: toFiles('esm'), require: toFiles('cjs') };
};

/** The links of the guide are relative to `docs/guides`, which the package does not contain. */
function resolveLinks(guide: string, homepage: string): string {
  const directory = `${homepage.replace(/#.*$/, '')}/blob/main/docs/guides/`;
  return guide.replaceAll(/\]\((?!https?:|#)([^)]+)\)/g, (_, path: string) => `](${new URL(path, directory).href})`);
}

/** Follows the imports from the entry points. Modules that only the build of the single files needs are left out. */
function listModules(directory: string, extension: '.js' | '.d.ts'): string[] {
  const found = new Set<string>(Object.values(entryPoints));
  for (const name of found) {
    const source = readFileSync(join(directory, `${name}${extension}`), 'utf8');
    for (const [, specifier] of source.matchAll(/(?:from|import) ['"]\.\/([^'"]+)['"]/g)) {
      found.add(basename(specifier!).replace(/\.(js|ts)$/, ''));
    }
  }
  return [...found].sort();
}

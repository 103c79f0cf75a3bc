import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { findPackageJSON, stripTypeScriptTypes } from 'node:module';
import { pathToFileURL } from 'node:url';
import { codeRoot, computeEtag, fromSources, type ServedFile } from './served-file.ts';
import { createSourceBundle } from './source-bundle.ts';

export interface PlaygroundFiles {
  readPage(tokens: 'made here' | 'pasted'): Promise<ServedFile>;
  /** Returns the file at a path below `playground/`. Undefined if it does not exist or must not be served. */
  findFile(path: string): Promise<ServedFile | undefined>;
  /** For the content security policy: the hash of the only inline script of the page. */
  importMapHash: string;
}

/** Names stay readable in the browser's developer tools. */
const pageBundle = {
  entry: 'playground/main.ts',
  directories: ['playground/', 'playground/views/', 'src/client/'],
  options: { format: 'esm', minifySyntax: true, minifyWhitespace: true },
} as const;

const projectRoot = fromSources ? codeRoot : new URL('../', codeRoot);

export function createPlaygroundFiles(): PlaygroundFiles {
  const vendors = createVendorTable();
  const importMap = JSON.stringify({ imports: createImportMap(vendors) });
  const read = createFileReader();
  const bundle = fromSources ? createSourceBundle(projectRoot, pageBundle) : undefined;
  /** Returns all modules in one file, which is built with the package or bundled from the sources. */
  const readBundle = async (): Promise<ServedFile | undefined> => {
    if (!bundle) return read(new URL('playground/page.js', codeRoot), 'js');
    const text = await bundle();
    return text === undefined ? undefined : { type: 'js', text, etag: computeEtag(text) };
  };
  return {
    importMapHash: `'sha256-${createHash('sha256').update(importMap).digest('base64')}'`,
    async readPage(tokens) {
      const template = await readFile(new URL('playground/index.html', projectRoot), 'utf8');
      const entry = (await readBundle()) ? 'page.js' : 'main.js';
      const text = template
        .replace('src="playground/main.js"', `src="playground/${entry}"`)
        .replace('<script type="importmap"></script>', () => `<script type="importmap">${importMap}</script>`)
        .replace('<meta name="tokens" content="pasted">', `<meta name="tokens" content="${tokens}">`);
      return { type: 'html', text, etag: computeEtag(text) };
    },
    async findFile(path) {
      if (path === 'page.js') return readBundle();
      const location = findAsset(path) ?? findModule(path) ?? findVendorFile(path, vendors);
      return location && read(...location);
    },
  };
}

type FileLocation = [file: URL, type: ServedFile['type']] | undefined;

function findAsset(path: string): FileLocation {
  if (path === 'style.css') return [new URL('playground/style.css', projectRoot), 'css'];
  if (path === 'icon.svg') return [new URL('playground/icon.svg', projectRoot), 'svg'];
  return undefined;
}

const moduleDirectories: Record<string, string> = {
  '': 'playground/',
  views: 'playground/views/',
  client: 'src/client/',
};

/** Accepts both extensions: the page itself requests `.js`, but the modules import `.ts` if they are sources. */
function findModule(path: string): FileLocation {
  const [, directory = '', name] = /^(?:(client|views)\/)?([a-z0-9-]+)\.(?:js|ts)$/.exec(path) ?? [];
  if (!name) return undefined;
  return [new URL(`${moduleDirectories[directory]}${name}.${fromSources ? 'ts' : 'js'}`, codeRoot), 'js'];
}

interface Vendor {
  /** The name in the import map. */
  specifier: string;
  directory: URL;
  main: string;
  /** Matches the paths of the files that are served. */
  files: RegExp;
}

const litFiles = /^(?:directives\/)?[a-z-]+\.js(?:\.map)?$/;

/** The packages that the page imports. The packages of Lit are resolved from Lit, so that their versions match. */
function createVendorTable(): Record<string, Vendor> {
  const directory = findPackageDirectory('lit', import.meta.url);
  const createLitVendor = (specifier: string, main: string): Vendor => ({
    ...{ specifier, main, files: litFiles },
    directory: findPackageDirectory(specifier, directory.href),
  });
  return {
    lit: { specifier: 'lit', directory, main: 'index.js', files: litFiles },
    'lit-html': createLitVendor('lit-html', 'lit-html.js'),
    'lit-element': createLitVendor('lit-element', 'index.js'),
    'reactive-element': createLitVendor('@lit/reactive-element', 'reactive-element.js'),
    'socket.io-client': {
      specifier: 'socket.io-client',
      directory: findPackageDirectory('socket.io-client', import.meta.url),
      main: 'dist/socket.io.esm.min.js',
      files: /^dist\/socket\.io\.esm\.min\.js(?:\.map)?$/,
    },
  };
}

function findPackageDirectory(name: string, base: string): URL {
  const manifest = findPackageJSON(name, base);
  if (!manifest) throw new Error(`The package ${name} is not installed`);
  return new URL('./', pathToFileURL(manifest));
}

function findVendorFile(path: string, vendors: Record<string, Vendor>): FileLocation {
  const [, name, file] = /^vendor\/([a-z.-]+)\/(.+)$/.exec(path) ?? [];
  const vendor = name && Object.hasOwn(vendors, name) ? vendors[name] : undefined;
  if (!vendor?.files.test(file!)) return undefined;
  return [new URL(file!, vendor.directory), file!.endsWith('.map') ? 'json' : 'js'];
}

/** The addresses are relative to the page, because the service may be mounted below a path. */
function createImportMap(vendors: Record<string, Vendor>): Record<string, string> {
  const entries = Object.entries(vendors).flatMap(([name, { specifier, main }]) => [
    [specifier, `./playground/vendor/${name}/${main}`],
    [`${specifier}/`, `./playground/vendor/${name}/`],
  ]);
  const client = [
    ['nano-messaging-client', './playground/client/client.js'],
    ['nano-messaging-client/inbox', './playground/client/inbox.js'],
  ];
  return Object.fromEntries([...client, ...entries]);
}

/** Reads files and strips the types of TypeScript. Caches the result until the file changes. */
function createFileReader(): (...found: NonNullable<FileLocation>) => Promise<ServedFile | undefined> {
  const cache = new Map<string, ServedFile & { mtimeMs: number }>();
  return async (file, type) => {
    const { mtimeMs } = (await stat(file).catch(ignoreMissing)) ?? {};
    if (mtimeMs === undefined) return undefined;
    const cached = cache.get(file.href);
    if (cached?.mtimeMs === mtimeMs) return cached;
    const source = await readFile(file, 'utf8');
    const text = file.pathname.endsWith('.ts') ? stripTypeScriptTypes(source) : source;
    const served = { type, text, etag: computeEtag(text), mtimeMs };
    cache.set(file.href, served);
    return served;
  };
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT' && error.code !== 'ENAMETOOLONG') throw error;
}

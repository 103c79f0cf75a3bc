import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { expect } from 'chai';

const src = resolve(import.meta.dirname, '../../src');

interface Layer {
  name: string;
  files: RegExp;
  /** Ours, by path below `src/`. */
  imports: RegExp[];
  /** Packages, and what Node brings. */
  packages: RegExp;
}

const any = /./;
const process = /^(main|cli)\.ts$|-command\.ts$/;
/** What may happen and what is kept know neither HTTP nor sockets. */
const offTheWire = /^(?!express|socket\.io|ws$|cors$|helmet$|passport|node:(http|https|net|tls)$)/;

/** The first row that fits a file is its row. */
const layers: Layer[] = [
  { name: 'a process', files: process, imports: [any], packages: any },
  {
    name: 'config.ts',
    files: /^config\.ts$/,
    imports: [/^protocol\//, /^(secret-strength|setting-files)\.ts$/],
    packages: any,
  },
  { name: 'protocol/', files: /^protocol\//, imports: [/^protocol\//], packages: /^zod$/ },
  { name: 'rooms/permissions.ts', files: /^rooms\/permissions\.ts$/, imports: [/^protocol\//], packages: /^$/ },
  { name: 'client/', files: /^client\//, imports: [/^(protocol|client)\//], packages: /^socket\.io-client$/ },
  { name: 'store/', files: /^store\//, imports: [/^(protocol|store)\//], packages: offTheWire },
  { name: 'rooms/', files: /^rooms\//, imports: [/^(protocol|store|rooms)\//], packages: offTheWire },
  {
    name: 'import/',
    files: /^import\//,
    imports: [/^(protocol|store|import)\//, /^rooms\/pairs\.ts$/],
    packages: offTheWire,
  },
  {
    name: 'move/',
    files: /^move\//,
    imports: [/^move\//, /^import\/progress\.ts$/],
    packages: /^pg$/,
  },
  {
    name: 'nodes/',
    files: /^nodes\//,
    imports: [/^(protocol|nodes)\//, /^rooms\/(room-bus|node-calls)\.ts$/, /^failure-log\.ts$/],
    packages: /^(redis|socket\.io|@socket\.io\/redis-adapter|pino|node:(crypto|events))$/,
  },
  {
    name: 'metrics/',
    files: /^metrics\//,
    imports: [/^(protocol|rooms|metrics)\//, /^transports\/(live|rest\/measured)\.ts$/],
    packages: /^(prom-client|node:perf_hooks)$/,
  },
  ...['rest', 'socketio', 'chat'].map((transport) => ({
    name: `transports/${transport}/`,
    files: new RegExp(`^transports/${transport}/`),
    imports: [/^(protocol|rooms)\//, /^transports\/[^/]+\.ts$/, new RegExp(`^transports/${transport}/`)],
    packages: any,
  })),
  {
    name: 'transports/*.ts',
    files: /^transports\/[^/]+\.ts$/,
    imports: [/^(protocol|rooms|nodes)\//, /^transports\/[^/]+\.ts$/, /^config\.ts$/],
    packages: any,
  },
  // What server.ts is put together from; the rows above let no layer reach for it.
  { name: 'server.ts and its parts', files: /^[^/]+\.ts$/, imports: [any], packages: any },
];

const files = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => path.replaceAll('\\', '/'))
  .sort();

const textOf = (file: string) => readFileSync(join(src, file), 'utf8');

/** Static, dynamic and type imports, and what is exported from elsewhere. */
const specifier =
  /^\s*(?:import|export)\b[^'";]*?\bfrom\s*['"]([^'"]+)['"]|^\s*import\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm;

function importsOf(file: string): { ours: string[]; packages: string[] } {
  const found = [...textOf(file).matchAll(specifier)].map((match) => (match[1] ?? match[2] ?? match[3])!);
  const ours = found.filter((name) => name.startsWith('.'));
  return {
    ours: ours.map((name) => relative(src, resolve(src, dirname(file), name)).replaceAll('\\', '/')),
    packages: found.filter((name) => !name.startsWith('.')),
  };
}

const layerOf = (file: string) => layers.find((layer) => layer.files.test(file));

describe('layers', () => {
  it('give every file of src/ a place', () => {
    expect(files.filter((file) => !layerOf(file))).to.deep.equal([]);
  });

  for (const layer of layers) {
    it(`let ${layer.name} import only what it may`, () => {
      const wrong = files
        .filter((file) => layerOf(file) === layer)
        .flatMap((file) => {
          const { ours, packages } = importsOf(file);
          return [
            ...ours.filter((other) => !layer.imports.some((allowed) => allowed.test(other))),
            ...packages.filter((name) => !layer.packages.test(name)),
          ].map((other) => `${file} → ${other}`);
        });
      expect(wrong).to.deep.equal([]);
    });
  }

  it('see every import there is', () => {
    const seen = importsOf('rooms/permissions.ts');
    expect(seen.ours).to.include.members(['protocol/errors.ts', 'protocol/room.ts']);
    expect(importsOf('config.ts').packages).to.deep.equal(['node:crypto', 'zod']);
  });

  it('let client/ have types of protocol/ only, whose values would bring zod into the browser', () => {
    const value = /^\s*(?:import|export)\s+(?!type\b)[^'";]*?\bfrom\s*['"][^'"]*\/protocol\/[^'"]+['"]/gm;
    const client = files.filter((file) => file.startsWith('client/'));
    expect(client.flatMap((file) => textOf(file).match(value) ?? [])).to.deep.equal([]);
    expect(textOf('rooms/messages.ts'), 'it finds what there is').to.match(value);
  });

  it('let nobody but the metrics know prom-client', () => {
    const knowing = files.filter((file) => importsOf(file).packages.includes('prom-client'));
    expect(knowing).to.include('metrics.ts');
    expect(knowing.filter((file) => !/^metrics(\.ts$|\/)/.test(file))).to.deep.equal([]);
  });

  it('leave a process to itself: nothing imports main.ts or a command', () => {
    const wrong = files.filter((file) => importsOf(file).ours.some((other) => process.test(other)));
    // The one command that has them all under their names.
    expect(wrong.splice(wrong.indexOf('cli.ts'), 1)).to.deep.equal(['cli.ts']);
    expect(wrong).to.deep.equal([]);
  });

  it('import files, never a barrel', () => {
    expect(files.filter((file) => file.endsWith('index.ts'))).to.deep.equal([]);
  });

  it('let nobody but the configuration and the processes read process.env', () => {
    const readers = files.filter((file) =>
      /\bprocess\s*(\.|\[\s*['"])\s*env\b|\benv\b[^;]*from 'node:process'/.test(textOf(file)),
    );
    expect(readers.filter((file) => file !== 'config.ts' && !process.test(file))).to.deep.equal([]);
  });
});

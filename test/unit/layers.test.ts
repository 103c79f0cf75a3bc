import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { expect } from 'chai';

const src = resolve(import.meta.dirname, '../../src');

interface Layer {
  name: string;
  files: RegExp;
  /** Files of this project, by their path below `src/`. */
  imports: RegExp[];
  /** Packages, and modules of Node. */
  packages: RegExp;
}

const any = /./;
const process = /^bin\//;
/** Packages for core and features, which must not depend on HTTP or sockets. */
const offTheWire = /^(?!express|socket\.io|ws$|cors$|helmet$|passport|node:(http|https|net|tls)$)/;

/** The first row whose pattern matches a file applies to it. */
const layers: Layer[] = [
  { name: 'bin/ (processes)', files: process, imports: [any], packages: any },
  {
    name: 'config/',
    files: /^config\//,
    imports: [/^config\//, /^core\/(edit-distance|webhook-events|webhook-signature)\.ts$/],
    packages: /^(zod|node:.*)$/,
  },
  {
    name: 'core/authorization.ts and core/administration.ts',
    files: /^core\/(authorization|administration)\.ts$/,
    imports: [/^core\/(authorization|errors|ids|room)\.ts$/],
    packages: /^$/,
  },
  {
    name: 'core/ (vocabulary)',
    files: /^core\/([^/]+|contract\/[^/]+)\.ts$/,
    imports: [/^core\/([^/]+|log\/(change|message)|feed\/subscriber|limits\/request-costs|contract\/[^/]+)\.ts$/],
    packages: /^(zod|node:crypto)$/,
  },
  {
    name: 'core/log/',
    files: /^core\/log\//,
    imports: [/^core\/(log\/|[^/]+\.ts$|contract\/)/, /^database\//],
    packages: offTheWire,
  },
  {
    name: 'core/',
    files: /^core\//,
    imports: [/^core\//, /^database\//],
    packages: offTheWire,
  },
  {
    name: 'features/create-app-context.ts',
    files: /^features\/create-app-context\.ts$/,
    imports: [/^(features|core|config|database|observability)\//],
    packages: offTheWire,
  },
  {
    name: 'features/webhooks/http-receiver.ts',
    files: /^features\/webhooks\/http-receiver\.ts$/,
    imports: [/^(features\/webhooks|core)\//],
    packages: /^node:(http|https)$/,
  },
  { name: 'features/', files: /^features\//, imports: [/^(features|core|auth|database)\//], packages: offTheWire },
  {
    name: 'auth/',
    files: /^auth\//,
    imports: [
      /^(auth|core|config)\//,
      /^observability\/failure-log\.ts$/,
      /^database\/(store|make-directory)\.ts$/,
      /^cluster\/shared-limits\.ts$/,
    ],
    packages: /^(?!express|socket\.io|ws$)/,
  },
  {
    name: 'client/react.ts',
    files: /^client\/react\.ts$/,
    imports: [/^client\/(client|inbox|wire)\.ts$/],
    packages: /^react$/,
  },
  {
    name: 'client/rest.ts',
    files: /^client\/rest\.ts$/,
    imports: [/^client\/(api|rest-paths|room-connection|service-url|token)\.ts$/],
    packages: /^openapi-fetch$/,
  },
  {
    name: 'client/',
    files: /^client\//,
    imports: [/^(core|client)\//, /^(auth|features\/[^/]+)\/contract\.ts$/],
    packages: /^socket\.io-client$/,
  },
  {
    name: 'sdk/',
    files: /^sdk\//,
    imports: [
      /^(core|sdk)\//,
      /^auth\/token-signing\.ts$/,
      /^features\/(admin-calls|webhooks\/payload|[^/]+\/contract)\.ts$/,
    ],
    packages: /^node:crypto$/,
  },
  { name: 'database/entities.ts', files: /^database\/entities\.ts$/, imports: [/\.entity\.ts$/], packages: /^$/ },
  {
    name: 'database/',
    files: /^database\//,
    imports: [/^(database|patches)\//, /^core\/(errors|ids|periodic)\.ts$/, /^observability\/progress\.ts$/],
    packages: offTheWire,
  },
  {
    name: 'legacy-import/',
    files: /^legacy-import\//,
    imports: [/^(core|database|legacy-import)\//, /^features\/rooms\/pairs\.ts$/, /^observability\/progress\.ts$/],
    packages: offTheWire,
  },
  {
    name: 'cluster/',
    files: /^cluster\//,
    imports: [/^cluster\//, /^core\/(bus|ephemeral|ids|signals|log\/change)\.ts$/, /^observability\/failure-log\.ts$/],
    packages: /^(redis|socket\.io|@socket\.io\/(redis|cluster)-adapter|pino|node:(crypto|events|net))$/,
  },
  {
    name: 'workers/',
    files: /^workers\//,
    imports: [
      /^(workers|patches|config)\//,
      /^cluster\/(heartbeat|ipc-link|memory-store|peer-rooms|worker-link)\.ts$/,
      /^observability\/metrics\/of-workers\.ts$/,
    ],
    packages: /^(@socket\.io\/cluster-adapter|pino|node:(cluster|net))$/,
  },
  {
    name: 'patches/',
    files: /^patches\//,
    imports: [
      /^(patches|core)\//,
      /^database\/(store|store-errors)\.ts$/,
      /^transports\/broadcast-batcher\.ts$/,
      /^transports\/socketio\/close-connection\.ts$/,
    ],
    packages: any,
  },
  {
    name: 'observability/metrics',
    files: /^observability\/metrics/,
    imports: [/^(core|features|observability|config)\//, /^transports\/(live-context|http\/request-metrics)\.ts$/],
    packages: /^(prom-client|node:(perf_hooks|fs|module))$/,
  },
  { name: 'observability/', files: /^observability\//, imports: [/^observability\//], packages: any },
  ...['http', 'socketio', 'chat'].map((transport) => ({
    name: `transports/${transport}/`,
    files: new RegExp(`^transports/${transport}/`),
    imports: [/^(core|auth|config|patches)\//, /^transports\/[^/]+\.ts$/, new RegExp(`^transports/${transport}/`)],
    packages: any,
  })),
  {
    name: 'transports/*.ts',
    files: /^transports\/[^/]+\.ts$/,
    imports: [/^(core|auth|config)\//, /^transports\/[^/]+\.ts$/],
    packages: any,
  },
  // The composition root and its parts: no row above lets a layer import them.
  { name: 'src/*.ts', files: /^[^/]+\.ts$/, imports: [any], packages: any },
];

const files = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => path.replaceAll('\\', '/'))
  .sort();

const textOf = (file: string) => readFileSync(join(src, file), 'utf8');

/** Matches static, dynamic and type imports, and re-exports. */
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

/** Finds each cycle of imports once. Type imports count, too. */
function findCycles(): string[][] {
  const imports = new Map(files.map((file) => [file, importsOf(file).ours.filter((other) => files.includes(other))]));
  const order = new Map<string, number>();
  const low = new Map<string, number>();
  const path: string[] = [];
  const cycles: string[][] = [];
  function visit(file: string): void {
    order.set(file, order.size);
    low.set(file, order.get(file)!);
    path.push(file);
    for (const other of imports.get(file)!) {
      if (!order.has(other)) visit(other);
      if (path.includes(other)) low.set(file, Math.min(low.get(file)!, low.get(other)!));
    }
    if (low.get(file) !== order.get(file)) return;
    const cycle = path.splice(path.indexOf(file));
    if (cycle.length > 1) cycles.push(cycle.sort());
  }
  for (const file of files) if (!order.has(file)) visit(file);
  return cycles;
}

describe('layers', () => {
  it('assigns every file of src/ to a layer', () => {
    expect(files.filter((file) => !layerOf(file))).to.deep.equal([]);
  });

  for (const layer of layers) {
    it(`lets ${layer.name} import only what its row allows`, () => {
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

  it('finds no import cycles in src/, type imports included', () => {
    expect(findCycles()).to.deep.equal([]);
  });

  it('recognises imports of our own files, of packages and of Node modules', () => {
    const seen = importsOf('core/authorization.ts');
    expect(seen.ours).to.include.members(['core/errors.ts', 'core/room.ts']);
    expect(importsOf('config/setting-schemas.ts').packages).to.deep.equal(['node:crypto', 'node:os', 'zod']);
  });

  it('keeps src/ free of imports from tests, tools and benchmarks', () => {
    expect(files.filter((file) => importsOf(file).ours.some((other) => other.startsWith('../')))).to.deep.equal([]);
  });

  it('lets client/ and sdk/ import only types from the server, because values would bring zod and the database', () => {
    const value = /^\s*(?:import|export)\s+(?!type\b)[^'";]*?\bfrom\s*['"][^'"]*\/(?:core|auth|features)\/[^'"]+['"]/gm;
    const ours = files.filter((file) => /^(client|sdk)\//.test(file));
    expect(ours.flatMap((file) => textOf(file).match(value) ?? [])).to.deep.equal([
      "import { signClaims } from '../auth/token-signing.ts'",
    ]);
    expect(textOf('features/messages/send-message.ts'), 'the pattern matches an import of values').to.match(value);
  });

  it('lets only observability/metrics import prom-client', () => {
    const users = files.filter((file) => importsOf(file).packages.includes('prom-client'));
    expect(users).to.include('observability/metrics.ts');
    expect(users.filter((file) => !file.startsWith('observability/metrics'))).to.deep.equal([]);
  });

  it('lets only bin/cli.ts import the entry points of processes', () => {
    const processes = /^bin\/(cli|start|worker|migrate|token|legacy-import|move|webhook)\.ts$/;
    const wrong = files.filter((file) => importsOf(file).ours.some((other) => processes.test(other)));
    // cli.ts starts each by its name.
    expect(wrong).to.deep.equal(['bin/cli.ts']);
  });

  it('allows no barrels in src/ except the entry of the package and the registry of features', () => {
    const barrels = files.filter((file) => /(^|\/)index\.ts$/.test(file));
    expect(barrels.filter((file) => !/^(features\/)?index\.ts$/.test(file))).to.deep.equal([]);
  });

  it('lets only the configuration and the processes read process.env', () => {
    const readers = files.filter((file) =>
      /\bprocess\s*(\.|\[\s*['"])\s*env\b|\benv\b[^;]*from 'node:process'/.test(textOf(file)),
    );
    expect(readers.filter((file) => !file.startsWith('config/') && !process.test(file))).to.deep.equal([]);
  });
});

import { execFileSync } from 'node:child_process';
import { cpSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import { clientBundles } from '../../src/transports/http/client-bundles.ts';
import { pageFiles } from '../../src/transports/http/documents/swagger-ui.ts';
import { readCommandLine } from '../command-line.ts';

const usage = `npm run build: compiles the service and the client library into dist/, bundles the playground and the single files of the
client library, and copies the files of Swagger UI that the service serves.

  --help`;

readCommandLine(usage, {}, () => {});

const root = resolve(import.meta.dirname, '../..');
const dist = join(root, 'dist');

rmSync(dist, { recursive: true, force: true });
for (const project of ['tsconfig.build.json', 'playground/tsconfig.build.json']) {
  execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', project], { cwd: root, stdio: 'inherit' });
}

const common = {
  absWorkingDir: root,
  bundle: true,
  charset: 'utf8',
  legalComments: 'eof',
  logLevel: 'warning',
} as const;
await build({
  ...common,
  ...{ entryPoints: ['playground/main.ts'], outfile: 'dist/playground/page.js', minify: true, format: 'esm' },
});
for (const { entry, file, options } of Object.values(clientBundles)) {
  await build({ ...common, ...options, entryPoints: [entry], outfile: join(dist, file) });
}

const swagger = join(root, 'node_modules/swagger-ui-dist');
for (const file of [...pageFiles, 'LICENSE', 'NOTICE']) cpSync(join(swagger, file), join(dist, 'swagger-ui', file));

import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { build } from 'esbuild';

const root = new URL('../../../', import.meta.url);

/** docs/guides/client.md promises these sizes. That with React includes the inbox. */
const bundles = [
  { entry: 'src/client/client.ts', maxBytes: 13_450 },
  { entry: 'src/client/inbox.ts', maxBytes: 14_750 },
  { entry: 'src/client/storage.ts', maxBytes: 19_000 },
  { entry: 'src/client/react.ts', maxBytes: 15_900 },
];

describe("the client's bundle", () => {
  for (const { entry, maxBytes } of bundles) {
    it(`has at most ${maxBytes} bytes with ${entry} after gzip, and contains no file of the server`, async () => {
      const contents = `export * from './src/client/client.ts'; export * from './${entry}';`;
      const { outputFiles, metafile } = await build({
        ...{
          stdin: { contents, resolveDir: root.pathname },
          absWorkingDir: root.pathname,
          write: false,
          metafile: true,
        },
        ...{ bundle: true, minify: true, format: 'esm', target: 'es2022', external: ['socket.io-client', 'react'] },
      });
      const parts = Object.keys(metafile.inputs).filter((file) => file !== '<stdin>');
      expect(parts).to.include(entry);
      expect(parts.filter((file) => !file.startsWith('src/client/'))).to.deep.equal([]);
      expect(gzipSync(outputFiles[0]!.contents).length).to.be.within(maxBytes / 3, maxBytes);
    });
  }
});

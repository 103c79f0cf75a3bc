import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { build } from 'esbuild';

const root = new URL('../../../', import.meta.url);
/** docs/guides/client.md promises 11 KB. */
const maxBytes = 11 * 1024;

describe("the client's bundle", () => {
  it('has at most 11 KiB after gzip, and contains no file of the server', async () => {
    const { outputFiles, metafile } = await build({
      ...{ entryPoints: ['src/client/client.ts'], absWorkingDir: root.pathname, write: false, metafile: true },
      ...{ bundle: true, minify: true, format: 'esm', target: 'es2022', external: ['socket.io-client'] },
    });
    const parts = Object.keys(metafile.inputs);
    expect(parts).to.include('src/client/client.ts');
    expect(parts.filter((file) => !file.startsWith('src/client/'))).to.deep.equal([]);
    expect(gzipSync(outputFiles[0]!.contents).length).to.be.within(maxBytes / 3, maxBytes);
  });
});

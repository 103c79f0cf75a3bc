import { cpSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { inspectDirectory } from '../../../src/database/inspect-directory.ts';
import { closeLater } from '../../helpers/cleanup.ts';
import { migratedDirectory } from '../../helpers/embedded-template.ts';

describe('The directory of an embedded database', function () {
  this.timeout(60_000);

  async function copy(): Promise<string> {
    const directory = mkdtempSync(join(tmpdir(), 'nano-inspect-'));
    closeLater(() => rmSync(directory, { recursive: true }));
    cpSync(join(await migratedDirectory(), 'pglite'), directory, { recursive: true });
    return directory;
  }

  it('accepts a database directory that is complete or empty', async () => {
    inspectDirectory(await copy());
    const empty = mkdtempSync(join(tmpdir(), 'nano-inspect-'));
    inspectDirectory(empty);
    rmSync(empty, { recursive: true });
  });

  const wrong: Record<string, [because: RegExp, spoil: (directory: string) => void]> = {
    'of another version of PostgreSQL': [
      /PostgreSQL 16.*contains PostgreSQL 18/,
      (at) => writeFileSync(join(at, 'PG_VERSION'), '16\n'),
    ],
    'without its version': [/PG_VERSION is missing/, (at) => rmSync(join(at, 'PG_VERSION'))],
    'copied without empty directories': [
      /without pg_notify.*tar/,
      (at) => rmSync(join(at, 'pg_notify'), { recursive: true }),
    ],
    'with a file cut short': [/pg_control has 100 bytes/, (at) => truncateSync(join(at, 'global/pg_control'), 100)],
  };
  for (const [title, [because, spoil]] of Object.entries(wrong)) {
    it(`refuses with advice a database directory ${title}`, async () => {
      const directory = await copy();
      spoil(directory);
      expect(() => inspectDirectory(directory))
        .to.throw(because)
        .and.to.have.property('message')
        .that.includes(directory);
    });
  }
});

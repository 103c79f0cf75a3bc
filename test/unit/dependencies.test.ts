import { readFileSync } from 'node:fs';
import { expect } from 'chai';

interface Locked {
  version: string;
  dev?: boolean;
}
const lock = JSON.parse(readFileSync(new URL('../../package-lock.json', import.meta.url), 'utf8'));
const packages = Object.entries(lock.packages as Record<string, Locked>).filter(([path]) => path !== '');

const nameOf = (path: string) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);

/** A security fix in one copy of a package does not reach the other, so each of these must be harmless in both. */
const allowedCopies: Record<string, string> = {
  accepts:
    'engine.io compresses polling answers with it if it is told to, and we tell it not to; express has the other',
  debug: 'prints nothing unless DEBUG is set',
  'mime-db': 'a table; of accepts',
  'mime-types': 'a look-up in that table; of accepts',
  negotiator: 'of accepts',
  'postgres-array': 'pg reads columns with one, MikroORM with the other; both read what the database wrote',
  'postgres-date': 'as postgres-array',
  'postgres-interval': 'as postgres-array',
};

describe('package-lock.json', () => {
  const copies = new Map<string, string[]>();
  for (const [path, { version, dev }] of packages) {
    if (dev) continue;
    copies.set(nameOf(path), [...(copies.get(nameOf(path)) ?? []), `${path}@${version}`]);
  }

  it('locks one copy of each production package, except for the listed ones', () => {
    const several = [...copies].filter(([, paths]) => paths.length > 1).map(([name]) => name);
    expect(several.sort()).to.deep.equal(Object.keys(allowedCopies).sort());
  });

  it('locks one copy of ws for both transports, in the version that our patch bounds', () => {
    const [only, ...others] = copies.get('ws')!;
    expect(others).to.deep.equal([]);
    expect(only).to.equal('node_modules/ws@8.23.0');
  });
});

import { join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { expect } from 'chai';
import { keepByteOrderMarks } from '../../../src/patches/pglite-byte-order-marks.ts';
import { migratedDirectory } from '../../helpers/embedded-template.ts';

describe('keepByteOrderMarks', () => {
  const mark = '\u{feff}';
  const texts = [`${mark}first`, mark, mark + mark, `not first ${mark}`, '', null, `${mark}ñ 👩‍🚀`];
  const columns = texts.map((_, n) => `$${n + 1}::text as c${n}`).join(', ');
  let pglite: PGlite;

  before(async () => {
    pglite = await PGlite.create(join(await migratedDirectory(), 'pglite'));
  });

  after(() => pglite.close());

  const read = async () => Object.values((await pglite.query<object>(`select ${columns}`, texts)).rows[0]!);

  it('is needed because PGlite drops byte order marks (otherwise, delete pglite-byte-order-marks.ts)', async () => {
    expect((await read())[0]).to.equal('first');
  });

  it('returns every text with its byte order mark, in each row, type and kind of query', async () => {
    keepByteOrderMarks(pglite);
    expect(await read()).to.deep.equal(texts);
    const { rows } = await pglite.query(
      'select n, case when n % 2 = 0 then $1 || n end as text, array[$1, null, $1] as texts, to_json($1::text) as json from generate_series(1, 3) n',
      [mark],
    );
    const row = (n: number, text: string | null) => ({ n, text, texts: [mark, null, mark], json: mark });
    expect(rows).to.deep.equal([row(1, null), row(2, `${mark}2`), row(3, null)]);
    const results = await pglite.exec(`select '${mark}a' as a; select 1 as b; select '${mark}c' as c`);
    expect(results.map((result) => result.rows)).to.deep.equal([[{ a: `${mark}a` }], [{ b: 1 }], [{ c: `${mark}c` }]]);
    const [big] = (await pglite.query<{ text: string }>(`select $1 || repeat('x', 3000000) as text`, [mark])).rows;
    expect(big!.text).to.have.length(3_000_001);
  });

  it('passes on the error of a query, and later queries work', async () => {
    keepByteOrderMarks(pglite);
    const error = await pglite.query(`select $1::text, 1 / 0`, [mark]).catch((refusal: Error) => refusal);
    expect(error).to.include({ code: '22012' });
    expect(await read()).to.deep.equal(texts);
  });
});

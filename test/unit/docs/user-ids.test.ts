import { execFileSync, spawnSync } from 'node:child_process';
import { expect } from 'chai';
import { decodeJwt } from 'jose';
import { entityUuid, signToken, userUuid, uuidV5 } from '../../../src/sdk/sdk.ts';
import { fences, readDocument, section, tableRows } from '../../helpers/markdown.ts';

const page = readDocument('docs/guides/user-ids.md');
const code = (cell: string) => /`([^`]+)`/.exec(cell)![1]!;
const vectors = tableRows(section(page, '## In other languages'))
  .filter((cells) => cells.length === 3 && cells[0]!.startsWith('`'))
  .map((cells) => cells.map(code));
const python = '/usr/bin/python3';

describe('docs/guides/user-ids.md', () => {
  it('shows UUIDs that nano-messaging/server derives', () => {
    expect(vectors).to.have.length(3);
    for (const [namespace, name, uuid] of vectors) expect(uuidV5(namespace!, name!)).to.equal(uuid);
    const [namespace] = vectors[0]!;
    expect(userUuid(namespace!, 42)).to.equal(vectors[0]![2]);
    expect(entityUuid(namespace!, 7)).to.equal(vectors[1]![2]);
  });

  it('shows code in Python that derives the same UUID', function () {
    if (spawnSync(python, ['--version']).status !== 0) this.skip();
    const row = tableRows(section(page, '## In other languages')).find(([language]) => language === 'Python')!;
    const [namespace, , uuid] = vectors[0]!;
    const program = `import uuid\nnamespace = "${namespace}"\nprint(${code(row[1]!)})`;
    expect(execFileSync(python, ['-c', program], { encoding: 'utf8' }).trim()).to.equal(uuid);
  });

  it('shows code in Node.js that signs a token for derived ids', async () => {
    const { text } = fences(section(page, '## In Node.js')).find(({ language }) => language === 'js')!;
    const body = text.replace(/^import .*\n/m, '').replace('export const chatToken =', 'return');
    const [namespace] = vectors[0]!;
    const env = { CHAT_NAMESPACE: namespace, JWT_SECRET: 'the secret of the tests and known to nobody else' };
    const chatToken = new Function('entityUuid', 'signToken', 'userUuid', 'process', body)(
      ...[entityUuid, signToken, userUuid, { env }],
    ) as (user: object) => Promise<string>;
    expect(decodeJwt(await chatToken({ id: 42, companyId: 7 }))).to.include({
      userUUID: vectors[0]![2],
      entityUUID: vectors[1]![2],
      levelOnEntity: 100,
    });
  });
});

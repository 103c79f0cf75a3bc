import { expect } from 'chai';
import { entityUuid, userUuid, uuidV5 } from '../../../src/sdk/sdk.ts';

/** The namespace of domain names, from RFC 9562, section 6.6. */
const dns = '6ba7b810-9dad-11d1-80b4-00c04fd430c8';

describe('UUIDs from ids of the product', () => {
  it('derives the UUIDv5 of the test vector in RFC 9562, appendix A.4', () => {
    expect(uuidV5(dns, 'www.example.com')).to.equal('2ed6657d-e927-568b-95e1-2665a8aea6a2');
  });

  // Computed with uuid.uuid5 of Python.
  const derived: [string | number | bigint, string][] = [
    [42, '3aba9c29-be14-59f6-9a99-8b0950ed2c3b'],
    ['42', '3aba9c29-be14-59f6-9a99-8b0950ed2c3b'],
    [42n, '3aba9c29-be14-59f6-9a99-8b0950ed2c3b'],
    ['ñandú', 'b2b399d9-9a47-5078-bfac-d1a79813851b'],
  ];
  for (const [id, uuid] of derived) {
    it(`derives the user ${typeof id} ${id} as uuid.uuid5 of Python derives user:${id}`, () => {
      expect(userUuid(dns, id)).to.equal(uuid);
      expect(userUuid(dns.toUpperCase(), id)).to.equal(uuid);
    });
  }

  it('derives another UUID for an organisation with the same id', () => {
    expect(entityUuid(dns, 7)).to.equal('a71ad3f3-d9b8-5aaf-9b0a-cd1f0ac09e60');
    expect(userUuid(dns, 7)).to.not.equal(entityUuid(dns, 7));
  });

  for (const id of ['', undefined, null, Number.NaN, 1.5, 2 ** 53, {}]) {
    it(`throws a TypeError for the id ${JSON.stringify(id) ?? id}, which would be the same for several users`, () => {
      expect(() => userUuid(dns, id as never)).to.throw(TypeError, /^id: must be text, or a whole number/);
    });
  }

  it('throws a TypeError for a namespace that is not a UUID', () => {
    expect(() => userUuid('my product', 42)).to.throw(TypeError, /^namespace: must be a UUID/);
  });
});

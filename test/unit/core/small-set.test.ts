import { expect } from 'chai';
import { SmallSet } from '../../../src/core/small-set.ts';

describe('SmallSet', () => {
  const [ana, ben, cleo] = [{ name: 'ana' }, { name: 'ben' }, { name: 'cleo' }];

  it('contains each member once, in the order in which they were added', () => {
    const members = new SmallSet<object>();
    expect({ size: members.size, all: [...members] }).to.deep.equal({ size: 0, all: [] });
    members.add(ana).add(ana);
    expect({ size: members.size, all: [...members] }).to.deep.equal({ size: 1, all: [ana] });
    members.add(ben).add(cleo).add(ana);
    expect({ size: members.size, all: [...members] }).to.deep.equal({ size: 3, all: [ana, ben, cleo] });
    expect([members.has(cleo), members.has({ name: 'cleo' })]).to.deep.equal([true, false]);
  });

  it('reports whether it has removed a member, whatever its size', () => {
    const members = new SmallSet<object>().add(ana);
    expect([members.delete(ben), members.delete(ana), members.delete(ana), members.size]).to.deep.equal([
      ...[false, true, false, 0],
    ]);
    members.add(ana).add(ben);
    expect([members.delete(cleo), members.delete(ana), members.delete(ben)]).to.deep.equal([false, true, true]);
    expect([...members.add(cleo)]).to.deep.equal([cleo]);
  });

  it('allows members to be removed while it is iterated', () => {
    const members = new SmallSet<object>().add(ana).add(ben).add(cleo);
    const seen: object[] = [];
    for (const member of members) {
      seen.push(member);
      members.delete(member);
      members.delete(ben);
    }
    expect(seen).to.deep.equal([ana, cleo]);
    expect(members.size).to.equal(0);
  });
});

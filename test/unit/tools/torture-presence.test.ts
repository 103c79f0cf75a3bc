import { expect } from 'chai';
import { checkPresence, findPresenceProblems } from '../../../tools/torture/oracle-presence.ts';
import { type Evidence, newEvidence, type SeenPresence, type Subscription } from '../../../tools/torture/record.ts';

const room = 7;
const [ana, ben] = ['ana', 'ben'];
const s = (seconds: number) => seconds * 1_000;

const stay = (user: string, from: number, to?: number, presence?: SeenPresence[]): Subscription => ({
  ...{ client: user, user, room, transport: 'socketio', node: 0, askedAt: s(from), joinedRev: 0, recovered: false },
  ...{ from: 0, resumes: undefined, startedAt: s(from), applied: [] },
  end: to === undefined ? undefined : { at: s(to), how: 'disconnected' },
  ...(presence && { presence }),
});

const set = (at: number, users: string[], isPartial = false): SeenPresence => ({ at: s(at), users, isPartial });

/** The run takes 200 s. */
function runWith(...subscriptions: Subscription[]): Evidence {
  const evidence = newEvidence();
  for (const user of [ana, ben]) evidence.users.set(user, { entity: 'acme', level: 0 });
  return Object.assign(evidence, { subscriptions, endedAt: s(200) });
}

function decision(evidence: Evidence): string[] {
  const said: string[] = [];
  checkPresence(evidence, (fault, what) => void said.push(`${fault}: ${what}`));
  return said;
}

describe('the oracle of the torture run, about presence', () => {
  it('accepts a user who disappears in time, and one who appears in time', () => {
    const sets = [set(0, [ana, ben]), set(129, [ana]), set(160, [ana, ben])];
    expect(decision(runWith(stay(ana, 0, undefined, sets), stay(ben, 0, 100), stay(ben, 140)))).to.deep.equal([]);
  });

  it('finds a user who is shown too long after they left', () => {
    const sets = [set(0, [ana, ben]), set(140, [ana])];
    expect(decision(runWith(stay(ana, 0, undefined, sets), stay(ben, 0, 100)))).to.deep.equal([
      'leaked: ana in room 7: ben is shown 40000 ms after they left',
    ]);
  });

  it('allows more time while the machine is slow, and until the server can know it', () => {
    const sets = [set(0, [ana, ben]), set(140, [ana])];
    const slow = runWith(stay(ana, 0, undefined, sets), stay(ben, 0, 100));
    slow.delays.push({ from: s(110), to: s(112), ms: s(2) });
    expect(decision(slow)).to.deep.equal([]);
    const vanished = stay(ben, 0, 100);
    vanished.end!.noticedBy = s(120);
    expect(decision(runWith(stay(ana, 0, undefined, sets), vanished))).to.deep.equal([]);
    const unanswered = runWith(stay(ana, 0, undefined, sets), stay(ben, 0, 100));
    unanswered.stays.push({ room, user: ben, from: s(101), to: s(115) });
    expect(decision(unanswered)).to.deep.equal([]);
  });

  it('finds a user who is missing for too long, unless the set is partial', () => {
    const missing = (isPartial: boolean) =>
      runWith(stay(ana, 0, undefined, [set(0, [ana], isPartial)]), stay(ben, 50, 90));
    expect(decision(missing(false))).to.deep.equal(['lost: ana in room 7: ben is missing for 40000 ms']);
    expect(decision(missing(true))).to.deep.equal([]);
  });

  it('finds a user who is shown although their tokens hide them', () => {
    const evidence = runWith(stay(ana, 0, undefined, [set(0, [ana, ben])]), stay(ben, 0));
    evidence.users.set(ben, { entity: 'acme', level: 0, hidesPresence: true });
    expect(decision(evidence)).to.deep.equal(['leaked: ana in room 7: ben is shown, but their tokens hide it']);
  });

  it('lists at the end the users that are missing, those that are shown for too long, and partial sets', () => {
    const problems = (last: SeenPresence, ...others: Subscription[]) =>
      findPresenceProblems(runWith(stay(ana, 0, undefined, [last]), ...others), s(200));
    expect(problems(set(0, [ana, ben]), stay(ben, 0))).to.deep.equal([]);
    expect(problems(set(0, [ana]), stay(ben, 0))).to.deep.equal(['ana in room 7 is not shown ben']);
    expect(problems(set(0, [ana, ben]), stay(ben, 0, 160))).to.deep.equal(['ana in room 7 is still shown ben']);
    expect(problems(set(0, [ana, ben]), stay(ben, 0, 180))).to.deep.equal([]);
    expect(problems(set(0, [ana], true))).to.deep.equal(['ana in room 7 has a partial presence']);
  });
});

import { expect } from 'chai';
import { checkRun } from '../../../tools/torture/oracle.ts';
import type { Outage } from '../../../tools/torture/oracle-inbox.ts';
import {
  type Evidence,
  type InboxSession,
  type Mark,
  newEvidence,
  ruleText,
  type SeenItem,
} from '../../../tools/torture/record.ts';
import type { Entry, RoomHistory, StoredMessage } from '../../../tools/torture/room-history.ts';

const room = 7;
const [ana, ben, acme] = ['ana', 'ben', 'acme'];

/** Commits are a second apart, on the clock of the database. */
const committedAt = (rev: number) => Math.round(performance.timeOrigin) + rev * 1_000;
const receivedAt = (rev: number) => committedAt(rev) - performance.timeOrigin + 300;

const rule = (rev: number, grantee: string, permissions: string): Entry => ({
  ...{ rev, kind: 'member', at: committedAt(rev), seq: undefined, text: '' },
  rule: { grantee, permissions, level: 0 },
});

const sent = (rev: number, seq: number): Entry => ({
  ...{ rev, kind: 'message', at: committedAt(rev), seq, text: '' },
  message: { id: seq, emitter: ben, clientMsgId: `m${seq}` },
});

const stored = (seq: number, more: Partial<StoredMessage> = {}): StoredMessage => ({
  ...{ emitter: ben, content: `[m${seq}]`, extras: {}, version: seq + 2, isDeleted: false },
  ...{ text: JSON.stringify({ content: `[m${seq}]` }), reactions: '', reactors: new Map(), replies: '' },
  ...more,
});

const item = (rev: number, lastSeq: number, more: Partial<SeenItem> = {}): SeenItem => ({
  ...{ at: receivedAt(rev), lastSeq, readSeq: 0, version: 0, unread: lastSeq, mentions: 0, name: 'room' },
  ...{ activityAt: committedAt(rev), lastMessage: { seq: lastSeq, content: `[m${lastSeq}]` }, ...more },
});

interface Run {
  history: RoomHistory;
  evidence: Evidence;
  inbox: InboxSession;
  items: SeenItem[];
  mark: Mark;
  outages: Outage[];
}

/** Ben sends 1, 2 and 3; Ana, who is in no room, marks 1 as read, and her inbox shows all of it. */
function cleanRun(): Run {
  const entries = [rule(1, ana, 'rw'), rule(2, ben, 'rw'), sent(3, 1), sent(4, 2), sent(5, 3)];
  const history: RoomHistory = {
    ...{ room, name: 'room', lastRev: 5, lastSeq: 3, lastChangeAt: committedAt(5), entries },
    messages: new Map([1, 2, 3].map((seq) => [seq, stored(seq)])),
    positions: new Map([[ana, { readSeq: 1, version: 1 }]]),
  };
  const evidence = newEvidence();
  for (const user of [ana, ben]) {
    evidence.users.set(user, { entity: acme, level: 0 });
    evidence.ruleChanges.push({ room, grantee: user, rule: ruleText('rw', 0) });
  }
  for (const seq of [1, 2, 3]) {
    const outcome = { is: 'stored' as const, id: seq, seq, rev: seq + 2, duplicate: false, at: 0, node: 0 };
    const content = `[m${seq}]`;
    evidence.sent.push({ client: ben, user: ben, room, clientMsgId: `m${seq}`, content, attempts: 1, outcome });
  }
  const done = { readSeq: 1, version: 1, at: receivedAt(3) };
  const mark: Mark = { client: ana, user: ana, room, seq: 1, force: false, done };
  evidence.marks.push(mark);
  evidence.positions.push({ client: ana, user: ana, room, readSeq: 1, version: 1, what: 'mark' });
  const read = { readSeq: 1, version: 1 };
  const items = [item(3, 1), item(4, 2, { ...read, unread: 1 }), item(5, 3, { ...read, unread: 2 })];
  const times = { openedAt: receivedAt(2), endedAt: undefined };
  const inbox: InboxSession = {
    client: ana,
    user: ana,
    entity: acme,
    ...times,
    rooms: new Map([[room, items]]),
    removed: [],
  };
  evidence.inboxes.push(inbox);
  return { history, evidence, inbox, items, mark, outages: [] };
}

function decision(spoil: (run: Run) => unknown): string[] {
  const run = cleanRun();
  spoil(run);
  return checkRun(run.evidence, [run.history], new Map(), run.outages).map(({ rule, what }) => `${rule}: ${what}`);
}

const expectOne = (spoil: (run: Run) => unknown, pattern: RegExp) => {
  const said = decision(spoil);
  expect(said, said.join('\n')).to.have.length(1);
  expect(said[0]).to.match(pattern);
};

describe('the oracle of the torture run, about read positions', () => {
  it('finds no fault in a clean run, and measures the lag of the inboxes', () => {
    const { evidence, history } = cleanRun();
    expect(checkRun(evidence, [history])).to.deep.equal([]);
    expect(evidence.inboxItems).to.equal(3);
    expect(evidence.longestInboxLagMs).to.be.closeTo(1_000, 301);
  });

  it('finds a version that was told with two positions', () => {
    const seen = { client: ana, user: ana, room, readSeq: 2, version: 1, what: 'read:changed' };
    expectOne(
      ({ evidence }) => evidence.positions.push(seen),
      /^positions: ana in room 7 \(read:changed\): version 1 .* is 1 and 2/,
    );
  });

  it('finds a version that is greater than the stored one, and one that nobody asked for', () => {
    const seen = { client: ana, user: ana, room, readSeq: 2, version: 2, what: 'read:changed' };
    expectOne(({ evidence }) => evidence.positions.push(seen), /^positions: .* version 2 of the position, stored is 1/);
    expect(decision(({ history }) => history.positions.set(ana, { readSeq: 1, version: 5 })).join('\n')).to.include(
      'positions: room 7: ana asked 1 times, but the position has version 5',
    );
  });

  it('finds a position that went back, unless the user forced it', () => {
    const goBack =
      (force: boolean) =>
      ({ evidence, history, mark }: Run) => {
        evidence.positions.push({ client: ana, user: ana, room, readSeq: 0, version: 2, what: 'mark' });
        evidence.marks.push({ ...mark, seq: 0, force, done: undefined });
        history.positions.set(ana, { readSeq: 0, version: 2 });
      };
    const wentBack = 'positions: room 7: the position of ana went back from 1 to 0 in version 2';
    expect(decision(goBack(false))).to.include(wentBack);
    expect(decision(goBack(true))).to.not.include(wentBack);
  });

  it('finds an acknowledged mark whose position is behind it', () => {
    expectOne(
      ({ mark }) => Object.assign(mark, { seq: 2 }),
      /^positions: ana in room 7: marked seq 2, answered with 1/,
    );
  });
});

describe('the oracle of the torture run, about inboxes', () => {
  it('finds a message that never came', () => {
    expect(decision(({ items }) => items.pop())).to.include('inbox: the inbox of ana, room 7: seq 3 never came');
  });

  it('finds a message that came too late, except during an outage of PostgreSQL', () => {
    const delay = ({ items }: Run) => Object.assign(items[2]!, { at: receivedAt(20) });
    expectOne(delay, /^inbox: the inbox of ana, room 7: seq 3 came 15300 ms after its commit/);
    const duringOutage = (run: Run) => {
      delay(run);
      run.outages.push({ from: receivedAt(6), to: receivedAt(19) });
    };
    expect(decision(duringOutage)).to.deep.equal([]);
  });

  it('requires nothing of an inbox that was closed before the bound', () => {
    const close = ({ inbox, items }: Run) => {
      items.pop();
      inbox.endedAt = receivedAt(5);
    };
    expect(decision(close)).to.deep.equal([]);
  });

  it('finds a read position that never came', () => {
    expect(decision(({ items }) => items.map((one) => Object.assign(one, { version: 0 })))).to.include(
      'inbox: the inbox of ana, room 7: version 1 of the position never came',
    );
  });

  for (const [field, value] of [
    ['unread', 1],
    ['mentions', 1],
    ['name', 'another'],
    ['activityAt', 0],
    ['lastMessage', { seq: 3, content: '[old]' }],
  ] as const) {
    it(`finds at the end an item with other ${field} than the database`, () => {
      expectOne(
        ({ items }) => Object.assign(items[2]!, { [field]: value }),
        new RegExp(`^inbox: at the end, .* ${field} is `),
      );
    });
  }

  it('counts no replies, silent, own or deleted messages as unread', () => {
    for (const more of [
      { extras: { thread: 1 } },
      { extras: { silent: true as const } },
      { emitter: ana },
      { isDeleted: true },
    ]) {
      const said = decision(({ history }) => history.messages.set(2, stored(2, more)));
      expect(said).to.include('inbox: at the end, the inbox of ana, room 7: unread is 2, not 1');
    }
  });

  it('finds a room that is missing at the end, and a room that is shown without r', () => {
    const remove = ({ inbox }: Run) => inbox.removed.push({ room, at: receivedAt(6) });
    expectOne(remove, /^inbox: at the end, the inbox of ana, room 7: is missing/);
    const ban = (run: Run) => {
      run.history.entries.push(rule(6, ana, 'b'));
      Object.assign(run.history, { lastRev: 6, lastChangeAt: committedAt(6) });
      run.evidence.ruleChanges.push({ room, grantee: ana, rule: ruleText('b', 0) });
    };
    expectOne(ban, /^inbox: at the end, the inbox of ana, room 7: is shown without r/);
    expect(decision((run) => [ban(run), remove(run)])).to.deep.equal([]);
  });

  it('finds an item with a message that was committed after a ban', () => {
    const ban = ({ history, evidence, inbox }: Run) => {
      history.entries.splice(4, 1, rule(5, ana, 'b'), sent(6, 3));
      Object.assign(history, { lastRev: 6, lastChangeAt: committedAt(6) });
      history.messages.set(3, stored(3, { version: 6 }));
      Object.assign(evidence.sent[2]!.outcome!, { rev: 6 });
      evidence.ruleChanges.push({ room, grantee: ana, rule: ruleText('b', 0) });
      inbox.removed.push({ room, at: receivedAt(9) });
    };
    expectOne(ban, /^inbox-rights: the inbox of ana, room 7: seq 3, without r since rev 6 or before/);
  });
});

describe('the oracle of the torture run, about typing', () => {
  const shown = (to: number) => ({ client: ben, room, user: ana, from: 0, to });
  const type = ({ evidence }: Run, to: number, ...typed: number[]) => {
    evidence.typed.set(`${room} ${ana}`, typed);
    evidence.typing.push(shown(to));
  };

  it('finds a user who is shown as typing too long after they said so', () => {
    expectOne(
      (run) => type(run, 20_000, 1_000),
      /^typing: ben in room 7: ana is shown as typing 19000 ms after they said so/,
    );
    expect(decision((run) => type(run, 20_000, 1_000, 12_000))).to.deep.equal([]);
  });

  it('finds a user who is shown as typing, but never typed', () => {
    expectOne(({ evidence }) => evidence.typing.push(shown(1)), /^typing: .* ana is shown as typing, but never typed/);
  });
});

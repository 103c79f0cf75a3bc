import { expect } from 'chai';
import type { Disturbance } from '../../../tools/torture/inbox-lag.ts';
import { checkRun } from '../../../tools/torture/oracle.ts';
import {
  type Evidence,
  type InboxSession,
  type Mark,
  newEvidence,
  ruleText,
  type SeenItem,
  type SeenReceipt,
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
  ...{ muted: false, hidden: false },
  ...{ activityAt: committedAt(rev), lastMessage: { seq: lastSeq, content: `[m${lastSeq}]` }, ...more },
});

const position = (readSeq: number, version: number) => ({
  ...{ readSeq, version, receiptSeq: readSeq, muted: false, hiddenSeq: undefined },
});

interface Run {
  history: RoomHistory;
  evidence: Evidence;
  inbox: InboxSession;
  items: SeenItem[];
  mark: Mark;
  disturbances: Disturbance[];
}

/** Ben sends 1, 2 and 3; Ana, who is in no room, marks 1 as read, and her inbox shows all of it. */
function cleanRun(): Run {
  const entries = [rule(1, ana, 'rw'), rule(2, ben, 'rw'), sent(3, 1), sent(4, 2), sent(5, 3)];
  const history: RoomHistory = {
    ...{ room, name: 'room', lastRev: 5, lastSeq: 3, lastChangeAt: committedAt(5), entries },
    messages: new Map([1, 2, 3].map((seq) => [seq, stored(seq)])),
    positions: new Map([[ana, position(1, 1)]]),
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
  return { history, evidence, inbox, items, mark, disturbances: [] };
}

function decision(spoil: (run: Run) => unknown): string[] {
  const run = cleanRun();
  spoil(run);
  return checkRun(run.evidence, [run.history], new Map(), run.disturbances).map(({ rule, what }) => `${rule}: ${what}`);
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
    const lags = evidence.inboxLags.get('no fault')!;
    expect(lags).to.have.length(4);
    expect(Math.min(...lags)).to.be.closeTo(300, 1);
    expect(Math.max(...lags)).to.be.closeTo(1_000, 1);
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
    expect(decision(({ history }) => history.positions.set(ana, position(1, 5))).join('\n')).to.include(
      'positions: room 7: ana asked 1 times, but the position has version 5',
    );
  });

  it('finds a position that went back, unless the user forced it', () => {
    const goBack =
      (force: boolean) =>
      ({ evidence, history, mark }: Run) => {
        evidence.positions.push({ client: ana, user: ana, room, readSeq: 0, version: 2, what: 'mark' });
        evidence.marks.push({ ...mark, seq: 0, force, done: undefined });
        history.positions.set(ana, position(0, 2));
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
      run.disturbances.push({ fault: 'postgres-crash', from: receivedAt(6), to: receivedAt(19), isOutage: true });
    };
    expect(decision(duringOutage)).to.deep.equal([]);
  });

  it('allows more time while the machine is slow, and after another item of the room', () => {
    const delay =
      (ms: number) =>
      ({ items }: Run) =>
        Object.assign(items[2]!, { at: receivedAt(5) + ms });
    expect(decision(delay(1_500)), '300 ms later than after the commit alone').to.deep.equal([]);
    expectOne(delay(3_000), /^inbox: .* seq 3 came 3300 ms after its commit, due after 1900 ms/);
    const whenSlow = (run: Run) => {
      delay(3_000)(run);
      run.evidence.delays.push({ from: receivedAt(5), to: receivedAt(5) + 300, ms: 300 });
    };
    expect(decision(whenSlow)).to.deep.equal([]);
  });

  it('finds a room that came too late after the user got the right to read', () => {
    const admit = (itemAt: number) => (run: Run) => {
      const { history, evidence, inbox, items } = run;
      history.entries.push(rule(6, ana, 'b'), rule(9, ana, 'rw'));
      history.entries.splice(6, 0, rule(7, ben, 'rw'), rule(8, ben, 'rw'));
      Object.assign(history, { lastRev: 9, lastChangeAt: committedAt(9) });
      for (const letters of ['b', 'rw']) evidence.ruleChanges.push({ room, grantee: ana, rule: ruleText(letters, 0) });
      inbox.removed.push({ room, at: receivedAt(6) });
      items.push({ ...items[2]!, at: itemAt });
    };
    expect(decision(admit(receivedAt(9)))).to.deep.equal([]);
    expectOne(admit(receivedAt(12)), /^inbox: .* the room, readable since rev 9 came 3300 ms after its commit/);
  });

  it('measures the lag for each kind of fault, and from the commit of a long transaction', () => {
    const { evidence, history, items } = cleanRun();
    const fault = { fault: 'redis-kill', from: receivedAt(5) - 100, to: receivedAt(6), isOutage: false };
    evidence.sent[2]!.committedAt = receivedAt(7) - 50;
    items[2]!.at = receivedAt(7);
    expect(checkRun(evidence, [history], new Map(), [fault])).to.deep.equal([]);
    expect([...evidence.inboxLags.keys()]).to.deep.equal(['no fault']);
    delete evidence.sent[2]!.committedAt;
    items[2]!.at = receivedAt(5);
    checkRun(evidence, [history], new Map(), [fault]);
    expect(evidence.inboxLags.get('redis-kill')!.map(Math.round)).to.deep.equal([300]);
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
    expect(decision(ban)).to.deep.equal([
      'inbox: the inbox of ana, room 7: the removal of the room, not readable since rev 6, never came',
      'inbox: at the end, the inbox of ana, room 7: is shown without r',
    ]);
    expect(decision((run) => [ban(run), remove(run)])).to.deep.equal([]);
  });

  it('finds an item with a message that was committed after a ban', () => {
    const ban = ({ history, evidence, inbox }: Run) => {
      history.entries.splice(4, 1, rule(5, ana, 'b'), sent(6, 3));
      Object.assign(history, { lastRev: 6, lastChangeAt: committedAt(6) });
      history.messages.set(3, stored(3, { version: 6 }));
      Object.assign(evidence.sent[2]!.outcome!, { rev: 6 });
      evidence.ruleChanges.push({ room, grantee: ana, rule: ruleText('b', 0) });
      inbox.removed.push({ room, at: receivedAt(6) });
    };
    expectOne(ban, /^inbox-rights: the inbox of ana, room 7: seq 3, without r since rev 6 or before/);
  });
});

describe('the oracle of the torture run, about personal settings', () => {
  const mute = ({ history, evidence, items }: Run, muted = true) => {
    history.positions.set(ana, { ...position(1, 2), muted: true });
    const done = { muted, hidden: false, version: 2, at: receivedAt(5) - 100 };
    evidence.settings.push({ client: ana, user: ana, room, done });
    Object.assign(items[2]!, { muted: true, version: 2 });
  };

  it('accepts a setting that the inbox shows, and that equals the row', () => {
    expect(decision(mute)).to.deep.equal([]);
  });

  it('finds an acknowledgement that differs from the row', () => {
    expectOne((run) => mute(run, false), /^settings: ana \(acknowledgement\) in room 7: version 2 .* has muted false/);
  });

  it('finds an inbox that does not converge to the row', () => {
    const said = decision((run) => [mute(run), Object.assign(run.items[2]!, { muted: false })]);
    expect(said).to.include('settings: at the end, the inbox of ana, room 7: muted is false, not true');
    expect(said).to.include(
      'settings: ana (inbox) in room 7: version 2 of the settings of ana has muted false, the database has true',
    );
  });

  it('finds a setting that never came to an inbox', () => {
    const said = decision((run) => [mute(run), Object.assign(run.items[2]!, { muted: false, version: 1 })]);
    expect(said).to.include('inbox: the inbox of ana, room 7: version 2 of the position never came');
  });

  it('finds a room that is shown as hidden although somebody else has written since, and the other way round', () => {
    const hide = (hiddenSeq: number, hidden: boolean) => (run: Run) => {
      run.history.positions.set(ana, { ...position(1, 1), hiddenSeq });
      Object.assign(run.items[2]!, { hidden });
    };
    expect(decision(hide(3, true))).to.deep.equal([]);
    expect(decision(hide(2, false))).to.deep.equal([]);
    expectOne(hide(2, true), /^settings: at the end, .* hidden is true, not false/);
    expectOne(hide(3, false), /^settings: at the end, .* hidden is false, not true/);
  });

  it('accepts a hidden room that is on no page', () => {
    const said = decision(({ history, inbox }) => {
      history.positions.set(ana, { ...position(1, 1), hiddenSeq: 3 });
      inbox.openedAt = receivedAt(20);
      inbox.rooms.clear();
    });
    expect(said).to.deep.equal([]);
  });
});

describe('the oracle of the torture run, about receipts', () => {
  const see = (run: Run, more: Partial<SeenReceipt> = {}) => {
    run.evidence.receiptRooms.add(room);
    const receipt = { client: ben, user: ana, room, readSeq: 1, version: 1, rev: 4, at: receivedAt(4), ...more };
    run.evidence.receipts.push(receipt);
  };

  it('accepts what others have read', () => {
    expect(decision((run) => see(run))).to.deep.equal([]);
  });

  it('finds a receipt in a room without receipts, and of a user who hides theirs', () => {
    expectOne((run) => [see(run), run.evidence.receiptRooms.clear()], /^receipts: .* the room has no receipts/);
    const hide = ({ evidence }: Run) => evidence.users.set(ana, { entity: acme, level: 0, hidesReceipts: true });
    expectOne((run) => [see(run), hide(run)], /^receipts: .* their tokens hide it/);
  });

  it('finds a receipt that went back, but not one that arrives late', () => {
    const goBack = (first: number, second: number) => (run: Run) => {
      run.history.positions.set(ana, { ...position(3, 2), receiptSeq: 3 });
      Object.assign(run.items[2]!, { readSeq: 3, version: 2, unread: 0 });
      run.evidence.marks.push({ ...run.mark, done: undefined });
      see(run, { readSeq: 3, version: first });
      see(run, { readSeq: 1, version: second });
    };
    expectOne(goBack(1, 2), /^receipts: ben in room 7: version 2 of the position of ana went back from seq 3 to 1/);
    expect(decision(goBack(2, 1))).to.deep.equal([]);
  });

  it('finds a receipt beyond what others may see', () => {
    expectOne((run) => see(run, { readSeq: 2 }), /^receipts: .* shown as seq 2, but nobody may see more than 1/);
  });

  it('finds a receipt of a user who may not read now', () => {
    expectOne(
      (run) => see(run, { rev: 0, at: receivedAt(0) }),
      /^receipts: .* is shown at rev 0, where they have no r/,
    );
    expect(
      decision((run) => see(run, { rev: 0 })),
      'the node knew more than the client',
    ).to.deep.equal([]);
  });
});

describe('the oracle of the torture run, about typing', () => {
  const shown = (to: number) => ({ client: ben, room, user: ana, from: 0, to });
  const type = ({ evidence }: Run, to: number, ...typed: [from: number, to: number][]) => {
    evidence.typed.set(
      `${room} ${ana}`,
      typed.map(([from, until]) => ({ from, to: until })),
    );
    evidence.typing.push(shown(to));
  };

  it('finds a user who is shown as typing too long after they said so', () => {
    const late = (run: Run) => type(run, 20_000, [900, 1_000]);
    expectOne(late, /^typing: ben in room 7: ana is shown as typing 19000 ms after they said so/);
    expect(decision((run) => type(run, 20_000, [900, 1_000], [11_000, 12_000]))).to.deep.equal([]);
  });

  it('takes into account that a request may have been handled at any time before its answer', () => {
    expect(decision((run) => type(run, 20_000, [900, 1_000], [12_500, 20_001]))).to.deep.equal([]);
  });

  it('finds a user who is shown as typing, but has not typed', () => {
    const early = (run: Run) => type(run, 20_000, [20_001, 20_002]);
    expectOne(early, /^typing: .* ana is shown as typing, but has not typed/);
  });
});

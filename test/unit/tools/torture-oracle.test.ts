import { expect } from 'chai';
import { checkRun } from '../../../tools/torture/oracle.ts';
import {
  type Applied,
  type Evidence,
  newEvidence,
  ruleText,
  type Sent,
  type Subscription,
} from '../../../tools/torture/record.ts';
import type { Entry, RoomHistory, StoredMessage } from '../../../tools/torture/room-history.ts';

const room = 7;
const [ana, ben, acme] = ['ana', 'ben', 'acme'];

const rule = (rev: number, grantee: string, permissions: string | null, level = 0): Entry => ({
  ...{ rev, kind: 'member', at: rev, seq: undefined, text: `rule ${rev}` },
  rule: { grantee, permissions, level },
});

const message = (rev: number, seq: number, emitter = ana): Entry => ({
  ...{ rev, kind: 'message', at: rev, seq, text: '' },
  message: { id: 100 + seq, emitter, clientMsgId: `m${seq}` },
});

const toText = (content: string) => JSON.stringify({ content });

const stored = (version: number, content: string, emitter = ana): StoredMessage => ({
  ...{ emitter, content, extras: {}, version, text: toText(content), isDeleted: false },
  ...{ reactions: '', reactors: new Map(), replies: '' },
});

const tables = (log: Entry[]) => ({ name: 'room', entries: log, messages: storeAll(log), positions: new Map() });

/** The messages as they were sent. */
function storeAll(entries: Entry[]): RoomHistory['messages'] {
  const sentEntries = entries.filter((entry) => entry.message);
  return new Map(sentEntries.map(({ rev, seq, message: m }) => [seq!, stored(rev, `content ${seq}`, m!.emitter)]));
}

/** Ana and Ben may join, Ana sends, Ben is banned at 6, Ana sends again, Ben is admitted again at 8. */
const entries = (): Entry[] => [
  rule(1, ana, 'rw'),
  rule(2, ben, 'rw'),
  message(3, 1),
  message(4, 2),
  message(5, 3),
  rule(6, ben, 'b'),
  message(7, 4),
  rule(8, ben, 'rw'),
  message(9, 5),
];

const received = (history: RoomHistory, ...revs: number[]): Applied[] =>
  revs.map((rev) => {
    const { seq, kind, text } = history.entries[rev - 1]!;
    const name = kind === 'member' ? ('member:changed' as const) : ('message:new' as const);
    const message = kind === 'member' ? { text } : { version: rev, text: toText(`content ${seq}`) };
    return { rev, name, seq, ...message, at: rev, live: true };
  });

function subscription(user: string, options: Partial<Subscription>): Subscription {
  return {
    ...{ client: user, user, room, transport: 'socketio', node: 0, askedAt: 0, joinedRev: 2 },
    ...{ recovered: false, from: 2, resumes: undefined, startedAt: 0, applied: [], end: undefined, ...options },
  };
}

function sent(seq: number, rev: number): Sent {
  return {
    ...{ client: ana, user: ana, room, clientMsgId: `m${seq}`, content: `content ${seq}`, attempts: 1 },
    outcome: { is: 'stored', id: 100 + seq, seq, rev, duplicate: false, at: rev, node: 0 },
  };
}

interface Run {
  history: RoomHistory;
  evidence: Evidence;
  /** Ana's only subscription, to the end. */
  anas: Subscription;
  /** Ben's subscriptions: one until the ban, one after it with `since`. */
  bens: [Subscription, Subscription];
}

function cleanRun(): Run {
  const log = entries();
  const history = { room, lastRev: 9, lastSeq: 5, lastChangeAt: 9, ...tables(log) };
  const anas = subscription(ana, { applied: received(history, 3, 4, 5, 6, 7, 8, 9) });
  const end = { at: 6, how: 'removed' as const, code: 'BANNED' as const };
  const first = subscription(ben, { applied: received(history, 3, 4, 5), end });
  const second = subscription(ben, {
    ...{ recovered: true, from: 5, joinedRev: 8, resumes: first },
    applied: received(history, 6, 7, 8, 9),
  });
  const evidence = newEvidence();
  for (const user of [ana, ben]) evidence.users.set(user, { entity: acme, level: 50 });
  evidence.subscriptions.push(anas, first, second);
  evidence.sent.push(sent(1, 3), sent(2, 4), sent(3, 5), sent(4, 7), sent(5, 9));
  const ruleChanges: [string, string][] = [
    [ana, 'rw'],
    [ben, 'rw'],
    [ben, 'b'],
    [ben, 'rw'],
  ];
  for (const [grantee, letters] of ruleChanges)
    evidence.ruleChanges.push({ room, grantee, rule: ruleText(letters, 0) });
  return { history, evidence, anas, bens: [first, second] };
}

/** The findings of the oracle about a clean run with one defect. */
function decision(spoil: (run: Run) => void): string[] {
  const run = cleanRun();
  spoil(run);
  return checkRun(run.evidence, [run.history]).map(({ fault, what }) => `${fault}: ${what}`);
}

const expectOne = (spoil: (run: Run) => void, ...patterns: RegExp[]) => {
  const said = decision(spoil);
  expect(said, said.join('\n')).to.have.length(1);
  for (const pattern of patterns) expect(said[0]).to.match(pattern);
};

describe('the oracle of the torture run', () => {
  it('finds no fault in a clean run', () => {
    expect(decision(() => {})).to.deep.equal([]);
  });

  describe('checks of received changes', () => {
    it('finds a change that a subscriber missed', () => {
      expectOne(({ anas }) => anas.applied.splice(2, 1), /^lost: ana .* room 7.* rev 6 without rev 5/);
    });

    it('finds a change that a subscriber received twice', () => {
      expectOne(({ anas }) => anas.applied.splice(2, 0, anas.applied[1]!), /^duplicated: ana .* rev 4 again/);
    });

    it('finds a delivery of a change that the subscriber already had', () => {
      expectOne(
        ({ anas, history }) => anas.applied.unshift(...received(history, 2)),
        /^duplicated: ana .* rev 2 again/,
      );
    });

    it('finds changes that a subscriber received in the wrong order', () => {
      expectOne(
        ({ anas }) => anas.applied.splice(1, 2, anas.applied[2]!, anas.applied[1]!),
        /^reordered: .* rev 4 after rev 5/,
      );
    });

    it('finds a subscriber without the last change', () => {
      expectOne(({ anas }) => anas.applied.pop(), /^lost: ana .* reached rev 8, not 9; still subscribed/);
    });

    it('finds received content that differs from the log', () => {
      expectOne(
        ({ anas }) => Object.assign(anas.applied[0]!, { text: toText('something else') }),
        /^altered: room 7: ana has version 3 of seq 1 as .*something else/,
      );
    });

    it('finds a received seq that differs from the log', () => {
      expect(decision(({ anas }) => Object.assign(anas.applied[0]!, { seq: 2 }))).to.include(
        'altered: ana (socketio) in room 7, joined at rev 2: rev 3 delivered as message:new of seq 2, stored as message of seq 1',
      );
    });

    it('finds a received change that is not in the log', () => {
      const invented = { rev: 10, name: 'message:new' as const, seq: 6, text: 'never', at: 0, live: true };
      expectOne(({ anas }) => anas.applied.push(invented), /^altered: .* rev 10 is not in the log/);
    });

    it('accepts any prefix of the log from a disconnected subscriber, and nothing else', () => {
      const end = { at: 0, how: 'disconnected' as const };
      const cutAfter =
        (...revs: number[]) =>
        ({ anas, history }: Run) =>
          Object.assign(anas, { end, applied: received(history, ...revs) });
      expect(decision(cutAfter(3, 4))).to.deep.equal([]);
      expectOne(cutAfter(3, 5), /^lost: .* rev 5 without rev 4/);
    });

    it('requires every message on /chat, and no other change', () => {
      const onChat =
        (...revs: number[]) =>
        ({ anas, history }: Run) =>
          Object.assign(anas, { transport: 'chat', applied: received(history, ...revs) });
      expect(decision(onChat(3, 4, 5, 7, 9))).to.deep.equal([]);
      expectOne(onChat(3, 4, 5, 9), /^lost: .* rev 9 without rev 7/);
      expectOne(onChat(3, 4, 5, 6, 7, 9), /^altered: .* rev 6/);
    });
  });

  describe('checks of recovery', () => {
    it('finds a subscription that does not continue where the previous one ended', () => {
      expectOne(({ bens: [, second] }) => {
        second.from = 6;
        second.applied.shift();
      }, /^lost: ben .* continues from rev 6, but the previous subscription ended at rev 5/);
    });

    it('finds an acknowledgement without all missed changes, even if the subscriber disconnected after it', () => {
      expectOne(({ bens: [, second], history }) => {
        Object.assign(second, { applied: received(history, 6, 7), end: { at: 0, how: 'disconnected' } });
      }, /^lost: ben .* reached rev 7, not 8/);
    });
  });

  describe('checks of bans', () => {
    it('finds a change that was delivered to a user after their ban', () => {
      const said = decision(({ bens: [first], history }) => first.applied.push(...received(history, 6, 7)));
      expect(said).to.include(
        'leaked: ben (socketio) in room 7, joined at rev 2: received rev 7, without r since rev 6',
      );
    });

    it('finds a banned user who joined', () => {
      const banned = subscription(ben, { joinedRev: 6, from: 6, end: { at: 0, how: 'left' } });
      expectOne(({ evidence }) => evidence.subscriptions.push(banned), /^leaked: ben .* joined without r/);
    });

    it('finds a banned user who was not removed', () => {
      expectOne(
        ({ bens: [first] }) => Object.assign(first, { end: undefined }),
        /^leaked: ben .* still subscribed, without r since rev 6/,
      );
    });

    it('finds a banned user who did not receive everything before the ban', () => {
      expectOne(({ bens: [first, second], history }) => {
        first.applied.pop();
        Object.assign(second, { from: 4, applied: received(history, 5, 6, 7, 8, 9) });
      }, /^lost: ben .* reached rev 4, not 5; removed BANNED/);
    });

    it('finds a user who was removed without a ban', () => {
      const end = { at: 0, how: 'removed' as const, code: 'BANNED' as const };
      expectOne(({ anas }) => Object.assign(anas, { end }), /^protocol: ana .* removed \(BANNED\), but has r/);
    });

    it('finds a user who is rejected without a ban', () => {
      const excluded = { client: ben, user: ben, room, code: 'BANNED' };
      expectOne(({ evidence }) => evidence.excluded.push(excluded), /^lost: ben: excluded from room 7/);
    });

    it('finds a message of a banned user', () => {
      expectOne(({ history, evidence }) => {
        history.entries[6] = message(7, 4, ben);
        evidence.sent[3]!.user = ben;
      }, /^leaked: room 7: rev 7 was written by ben, who had no w/);
    });

    it('applies the rule of an organisation from its level up, and its ban to all its users', () => {
      const shared =
        (permissions: string, level: number) =>
        ({ history, evidence, anas, bens }: Run) => {
          history.entries.splice(
            0,
            9,
            rule(1, acme, 'rw'),
            message(2, 1),
            rule(3, acme, permissions, level),
            message(4, 2),
          );
          const head = { lastRev: 4, lastSeq: 2, lastChangeAt: 4 };
          Object.assign(history, { ...head, messages: storeAll(history.entries) });
          Object.assign(anas, { joinedRev: 1, from: 1, applied: received(history, 2, 3, 4) });
          evidence.subscriptions.splice(1, bens.length);
          evidence.sent.splice(0, 5, sent(1, 2), sent(2, 4));
          evidence.ruleChanges.splice(0, 4);
          for (const [letters, from] of [
            ['rw', 0],
            [permissions, level],
          ] as const) {
            evidence.ruleChanges.push({ room, grantee: acme, rule: ruleText(letters, from) });
          }
        };
      expect(decision(shared('rw', 50))).to.deep.equal([]);
      expect(decision(shared('rw', 51))).to.include.members([
        'leaked: ana (socketio) in room 7, joined at rev 1: received rev 4, without r since rev 3',
        'leaked: room 7: rev 4 was written by ana, who had no w',
      ]);
      expect(decision(shared('b', 51)).join()).to.include('received rev 4, without r since rev 3');
    });
  });

  describe('checks of the log', () => {
    it('finds an acknowledged message that is not stored', () => {
      expectOne(
        ({ evidence }) => evidence.sent.push(sent(6, 10)),
        /^lost: ana in room 7: m6: acknowledged as rev 10, but not stored/,
      );
    });

    it('finds a message that is stored twice', () => {
      const said = decision(({ history }) => Object.assign(history.entries[8]!.message!, { clientMsgId: 'm4' }));
      expect(said).to.include('duplicated: room 7: the message ana m4 is stored as revs 7, 9');
    });

    it('finds a message that was acknowledged at another position', () => {
      expectOne(
        ({ evidence }) => Object.assign(evidence.sent[0]!.outcome!, { seq: 2 }),
        /^altered: .* acknowledged as id 101, seq 2/,
      );
    });

    it('finds stored content that differs from the sent content', () => {
      expect(decision(({ evidence }) => Object.assign(evidence.sent[0]!, { content: 'other' }))).to.deep.equal([
        'altered: ana in room 7: m1: stored with different content',
        'altered: room 7: version 3 of seq 1 (message) has the text content 1, not other',
      ]);
    });

    it('finds a stored message that nobody sent', () => {
      expect(decision(({ evidence }) => evidence.sent.pop())).to.include('log: room 7: nobody sent rev 9, ana m5');
    });

    it('finds a stored message that was rejected, unless a retry of it may be stored', () => {
      const refused =
        (attempts: number) =>
        ({ evidence }: Run) =>
          Object.assign(evidence.sent[4]!, { attempts, outcome: { is: 'refused', code: 'BANNED' } });
      expectOne(refused(1), /^log: .* m5: refused \(BANNED\), but stored as rev 9/);
      expect(decision(refused(2))).to.deep.equal([]);
    });

    it('finds an acknowledged rule that is not in the log', () => {
      expectOne(
        ({ evidence }) => evidence.ruleChanges.push({ room, grantee: ben, rule: null }),
        /^lost: room 7: the rules of ben/,
      );
    });

    it('finds a gap in rev and a gap in seq', () => {
      expect(decision(({ history }) => history.entries.splice(3, 1)).join('\n'))
        .to.include('log: room 7: rev 5 is at position 4 of the log')
        .and.include('log: room 7: seq 3 is at position 2 of the messages');
    });

    it('finds a room whose head differs from its log', () => {
      expectOne(({ history }) => Object.assign(history, { lastSeq: 6 }), /^log: room 7: 5 messages, but last_seq 6/);
    });
  });

  it('reports the faults that clients recorded, and a room that no longer exists', () => {
    const violation = { fault: 'protocol' as const, what: 'ana: closed with 4400' };
    expectOne(({ evidence }) => evidence.violations.push(violation), /^protocol: ana: closed with 4400$/);
    const { evidence } = cleanRun();
    expect(checkRun(evidence, []).map(({ what }) => what)).to.include('ana: room 7 no longer exists');
  });
});

import { expect } from 'chai';
import type { Message } from '../../../src/core/log/message.ts';
import { checkRun } from '../../../tools/torture/oracle.ts';
import {
  type Applied,
  deltasText,
  type Evidence,
  type FinalTimeline,
  newEvidence,
  type Operation,
  ruleText,
  type Subscription,
} from '../../../tools/torture/record.ts';
import type { Entry, RoomHistory, StoredMessage } from '../../../tools/torture/room-history.ts';
import { Timeline } from '../../../tools/torture/timeline.ts';

const room = 7;
const [ana, ben, owner] = ['ana', 'ben', 'owner'];

const entry = (rev: number, kind: Entry['kind'], seq: number | undefined, more: Partial<Entry> = {}): Entry => ({
  ...{ rev, kind, at: rev * 10, seq, text: `entry ${rev}` },
  ...more,
});

const rule = (rev: number, grantee: string, permissions: string): Entry =>
  entry(rev, 'member', undefined, { rule: { grantee, permissions, level: 0 } });

const sentBy = (emitter: string, seq: number) => ({ message: { id: 100 + seq, emitter, clientMsgId: `m${seq}` } });

const thumb = { user: ben, emoji: '👍', added: true };
const heart = { user: ana, emoji: '❤️', added: true };

/** Ana sends 1, edits it twice and gets reactions; Ben sends 2, and the owner deletes it. */
const log = (): Entry[] => [
  rule(1, ana, 'rw'),
  rule(2, ben, 'rw'),
  entry(3, 'message', 1, sentBy(ana, 1)),
  entry(4, 'message', 2, sentBy(ben, 2)),
  entry(5, 'edit', 1, { actor: ana }),
  entry(6, 'reactions', 1, { actor: ben, changes: [thumb, heart] }),
  entry(7, 'deletion', 2, { actor: owner }),
  entry(8, 'edit', 1, { actor: ana }),
];

const toText = (content: string) => JSON.stringify({ content });

const contents: Record<string, string> = {
  '1 3': '[one]',
  '1 5': '[two]',
  '1 8': '[three]',
  '2 4': '[bens]',
  '2 7': '',
};

const applied = (rev: number, name: Applied['name'], seq: number, version?: number, text = ''): Applied => ({
  ...{ rev, name, seq, at: rev * 10, live: true },
  ...(version === undefined ? { text } : { version, text: toText(contents[`${seq} ${version}`]!) }),
});

const live = (): Applied[] => [
  applied(3, 'message:new', 1, 3),
  applied(4, 'message:new', 2, 4),
  applied(5, 'message:changed', 1, 5),
  applied(6, 'reaction:changed', 1, undefined, `👍1 ❤️1; ${deltasText([thumb, heart])}`),
  applied(7, 'message:changed', 2, 7),
  applied(8, 'message:changed', 1, 8),
];

/** A client that joined with a cursor at rev 2 after everything had happened: each message once, in its present state. */
const replayed = (): Applied[] => {
  const changes = [
    applied(3, 'message:new', 1, 8),
    applied(4, 'message:new', 2, 7),
    ...[5, 6, 7, 8].map((rev): Applied => ({ ...applied(rev, 'change:skipped', 0, undefined), seq: undefined })),
  ];
  return changes.map((change) => ({ ...change, live: false }));
};

function subscription(user: string, options: Partial<Subscription>): Subscription {
  return {
    ...{
      client: user,
      user,
      room,
      transport: 'socketio',
      node: 0,
      askedAt: 0,
      joinedRev: 2,
      recovered: false,
      from: 2,
    },
    ...{ resumes: undefined, startedAt: 0, applied: [], end: undefined, ...options },
  };
}

function operation(kind: Operation['kind'], seq: number, rev: number, options: Partial<Operation> = {}): Operation {
  const outcome = { is: 'done' as const, changed: true, rev, version: rev, at: rev * 10 };
  return { client: ana, user: ana, room, seq, kind, attempts: 1, askedAt: rev * 10 - 5, outcome, ...options };
}

const message = (version: number, content: string, emitter: string): StoredMessage => ({
  ...{ emitter, content, extras: {}, version, text: toText(content), isDeleted: false },
  ...{ reactions: '', reactors: new Map(), replies: '' },
});

interface Run {
  history: RoomHistory;
  evidence: Evidence;
  lives: Subscription;
  replays: Subscription;
  /** The first edit has the base 3, the second the base 5. */
  edits: [Operation, Operation];
  tokens: Map<string, Set<string>>;
  timeline: FinalTimeline;
}

function cleanRun(): Run {
  const first = message(8, '[three]', ana);
  first.reactors = new Map([
    ['👍', new Set([ben])],
    ['❤️', new Set([ana])],
  ]);
  first.reactions = '👍1 ❤️1';
  const second = { ...message(7, '', ben), isDeleted: true };
  const messages = new Map([
    [1, first],
    [2, second],
  ]);
  const history = {
    room,
    lastRev: 8,
    lastSeq: 2,
    lastChangeAt: 80,
    name: 'room',
    positions: new Map(),
    entries: log(),
    messages,
  };
  const evidence = newEvidence();
  evidence.owner = owner;
  for (const user of [ana, ben]) {
    evidence.users.set(user, { entity: 'acme', level: 0 });
    evidence.ruleChanges.push({ room, grantee: user, rule: ruleText('rw', 0) });
  }
  const lives = subscription(ana, { applied: live() });
  const replays = subscription(ben, { recovered: true, joinedRev: 8, askedAt: 85, applied: replayed() });
  evidence.subscriptions.push(lives, replays);
  for (const [seq, rev, user, content] of [
    [1, 3, ana, '[one]'],
    [2, 4, ben, '[bens]'],
  ] as const) {
    const outcome = { is: 'stored' as const, id: 100 + seq, seq, rev, duplicate: false, at: rev * 10, node: 0 };
    evidence.sent.push({ client: user, user, room, clientMsgId: `m${seq}`, content, attempts: 1, outcome });
  }
  const edits: [Operation, Operation] = [
    operation('edit', 1, 5, { content: '[two]', base: 3 }),
    operation('edit', 1, 8, { content: '[three]', base: 5 }),
  ];
  evidence.operations.push(
    ...edits,
    operation('react', 1, 6, { client: ben, user: ben, emoji: '👍', added: true }),
    operation('react', 1, 6, { emoji: '❤️', added: true }),
    operation('delete', 2, 7, { client: owner, user: owner }),
  );
  evidence.answers.push({
    ...{ client: ben, room, seq: 1, version: 8, text: toText('[three]'), askedAt: 90, what: 'page' },
  });
  const timeline: FinalTimeline = {
    ...{ client: ana, user: ana, room, floor: 1, hasTombstones: true },
    messages: new Map([
      [1, { version: 8, text: toText('[three]'), reactions: '👍1 ❤️1', mine: '❤️', replies: '' }],
      [2, { version: 7, text: toText(''), reactions: '', mine: '', replies: '' }],
    ]),
  };
  evidence.timelines.push(timeline);
  return { history, evidence, lives, replays, edits, tokens: new Map([['three', new Set(['messages'])]]), timeline };
}

/** The findings of the oracle about a clean run with one defect, each with its rule. */
function decision(spoil: (run: Run) => unknown): string[] {
  const run = cleanRun();
  spoil(run);
  return checkRun(run.evidence, [run.history], run.tokens).map(({ rule, what }) => `${rule}: ${what}`);
}

const expectOne = (spoil: (run: Run) => unknown, pattern: RegExp) => {
  const said = decision(spoil);
  expect(said, said.join('\n')).to.have.length(1);
  expect(said[0]).to.match(pattern);
};

describe('the oracle of the torture run, about conversations', () => {
  it('finds no fault in a clean run', () => {
    expect(decision(() => {})).to.deep.equal([]);
  });

  describe('checks of the log', () => {
    it('finds a room whose last change has another time than its last entry', () => {
      expectOne(({ history }) => Object.assign(history, { lastChangeAt: 81 }), /^log: .* last_change_at is 81/);
    });

    it('finds an acknowledged edit that is not in the log', () => {
      const lost = operation('edit', 2, 9, { content: '[never]', user: ben, client: ben });
      expectOne(
        ({ evidence }) => evidence.operations.push(lost),
        /^storage: ben .* edit of seq 2, acknowledged as rev 9/,
      );
    });

    it('finds an acknowledged reaction that is not among the changes of its entry', () => {
      expectOne(
        ({ evidence }) => evidence.operations.push(operation('react', 1, 6, { emoji: '🎉', added: true })),
        /^storage: ana .* reaction?.* of seq 1|^storage: ana .* react of seq 1, acknowledged as rev 6, is not among/,
      );
    });

    it('finds an entry that nobody asked for', () => {
      expectOne(
        ({ evidence }) => evidence.operations.splice(2, 1),
        /^storage: .* nobody asked for rev 6, react of seq 1 by ben/,
      );
    });
  });

  describe('checks of delivery', () => {
    it('finds a skipped edit whose message was not given in that state', () => {
      expectOne(
        ({ replays }) => Object.assign(replays.applied[0]!, { version: 5, text: toText('[two]'), live: true }),
        /^delivery: ben .* rev 8 skipped, stored as edit of seq 1, but the message was given as version 5/,
      );
    });

    it('finds reactions that were delivered with changes of another entry', () => {
      expectOne(
        ({ lives }) => Object.assign(lives.applied[3]!, { text: '👍1; ben +👍' }),
        /^delivery: ana .* rev 6 delivered as .* stored as ben \+👍, ana \+❤️/,
      );
    });

    it('finds a change that was delivered as an event of another kind', () => {
      expectOne(
        ({ lives }) => Object.assign(lives.applied[4]!, { name: 'reaction:changed' }),
        /^delivery: ana .* rev 7 delivered as reaction:changed of seq 2, stored as deletion/,
      );
    });

    it('accepts on /chat that a deleted message is left out, and nothing else', () => {
      const without = (seq: number) => (run: Run) => {
        const messages = run.lives.applied.filter((change) => change.name === 'message:new' && change.seq !== seq);
        Object.assign(run.lives, { transport: 'chat', applied: messages });
      };
      expect(decision(without(2))).to.deep.equal([]);
      expectOne(without(1), /^delivery: ana \(chat\) .* rev 4 without rev 3/);
    });
  });

  describe('checks of values', () => {
    it('finds a version with another text than its edit', () => {
      expectOne(
        ({ lives }) => Object.assign(lives.applied[2]!, { text: toText('[other]') }),
        /^values: room 7: version 5 of seq 1 \(edit\) has the text \[other\], not \[two\]/,
      );
    });

    it('finds a copy that differs from the database', () => {
      expectOne(
        ({ evidence }) => Object.assign(evidence.answers[0]!, { text: toText('[two]') }),
        /^values: room 7: ben \(page\) has version 8 of seq 1 as .*two.*, the database as .*three/,
      );
    });

    it('finds a version that is not in the log', () => {
      expect(decision(({ lives }) => Object.assign(lives.applied[2]!, { version: 6 }))).to.include(
        'values: room 7: ana has version 6 of seq 1, which is not in the log',
      );
    });

    it('accepts for a version that nobody acknowledged the text of any unanswered edit', () => {
      const unanswered = ({ edits: [edit] }: Run) => Object.assign(edit, { outcome: undefined });
      expect(decision(unanswered)).to.deep.equal([]);
    });
  });

  describe('checks of timelines', () => {
    for (const [field, value] of [
      ['text', toText('[two]')],
      ['reactions', '👍1'],
      ['mine', ''],
      ['replies', '1 up to 2'],
    ] as const) {
      it(`finds a timeline with other ${field} than the database`, () => {
        expectOne(
          ({ timeline }) => Object.assign(timeline.messages.get(1)!, { [field]: value }),
          new RegExp(`^convergence: ana in room 7: the timeline has ${field} `),
        );
      });
    }

    it('finds a timeline that lacks a message', () => {
      expectOne(({ timeline }) => timeline.messages.delete(2), /^convergence: ana .* lacks seq 2/);
    });
  });

  describe('checks of erasure', () => {
    it('finds a page that was requested after a deletion, with the deleted text', () => {
      const answer = { client: ben, room, seq: 2, version: 4, text: toText('[bens]'), askedAt: 71, what: 'page' };
      expectOne(({ evidence }) => evidence.answers.push(answer), /^erasure: .* version 4 of seq 2, after version 7/);
      expect(decision(({ evidence }) => evidence.answers.push({ ...answer, askedAt: 69 }))).to.deep.equal([]);
    });

    it('finds a replay with a text that was replaced before the request', () => {
      expect(
        decision(({ replays }) => Object.assign(replays.applied[0]!, { version: 5, text: toText('[two]') })),
      ).to.include(
        'erasure: room 7: ben (missed changes) was answered with version 5 of seq 1, after version 8 was acknowledged',
      );
    });

    it('finds a wiped text in any table', () => {
      expectOne(
        ({ tokens }) => tokens.set('bens', new Set(['log_entries'])),
        /^erasure: the wiped text \[bens\] .* log_entries/,
      );
    });

    it('finds reactions to a deleted message in the log', () => {
      const changes = [{ user: ana, emoji: '👍', added: true }];
      expect(
        decision(({ history: { entries } }) => {
          entries[5] = entry(6, 'reactions', 2, { actor: ana, changes });
        }),
      ).to.include('erasure: room 7: rev 6 still lists the reactions to seq 2, which was deleted');
    });
  });

  it('finds an acknowledged edit from a version that was not the last', () => {
    expectOne(
      ({ edits }) => Object.assign(edits[1], { base: 3 }),
      /^base: ana .* edit of seq 1 from version 3 became 8, after 5/,
    );
  });

  describe('checks of rights', () => {
    it('finds an edit by another user than the emitter', () => {
      expect(decision(({ history }) => Object.assign(history.entries[4]!, { actor: ben }))).to.include(
        'rights: room 7: rev 5 is an edit by ben, who had no right to it',
      );
    });

    it('finds a deletion by another member', () => {
      expect(decision(({ history }) => Object.assign(history.entries[6]!, { actor: ana }))).to.include(
        'rights: room 7: rev 7 is a deletion by ana, who had no right to it',
      );
    });

    it('finds a reaction of a user without w', () => {
      expect(decision(({ history }) => Object.assign(history.entries[1]!.rule!, { permissions: 'r' }))).to.include(
        'rights: room 7: rev 6 has a reaction of ben, who had no w',
      );
    });
  });

  describe('checks of reactions', () => {
    it('finds a reaction that is in the log, but not in its table', () => {
      expect(decision(({ history }) => history.messages.get(1)!.reactors.delete('👍'))).to.include(
        'reactions: room 7: seq 1 has the reactions ❤️ ana, according to the log 👍 ben, ❤️ ana',
      );
    });

    it('finds a count that differs from the reactions', () => {
      expect(decision(({ history }) => Object.assign(history.messages.get(1)!, { reactions: '👍2 ❤️1' }))).to.include(
        'reactions: room 7: seq 1 has the counts 👍2 ❤️1, according to the log 👍1 ❤️1',
      );
    });

    it('finds a reaction that was added twice', () => {
      expect(decision(({ history }) => history.entries[5]!.changes!.push(thumb))).to.include(
        'reactions: room 7: rev 6 adds 👍 of ben a second time',
      );
    });
  });
});

describe('the timeline of a client in the torture run', () => {
  const edited = (version: number, content: string, more: Partial<Message> = {}) =>
    ({ seq: 1, version, content, emitter: ben, ...more }) as Message;
  const state = (timeline: Timeline) => timeline.toFinal().get(1)!;

  it('keeps the greater version, in whatever order versions arrive', () => {
    const timeline = new Timeline(ana);
    timeline.addPage([edited(6, 'newer')], 6, false, 1);
    timeline.apply({ rev: 5, name: 'message:changed', seq: 1, message: edited(5, 'older') }, false);
    expect(state(timeline)).to.include({ version: 6 });
    timeline.apply({ rev: 7, name: 'message:changed', seq: 1, message: edited(7, 'newest') }, false);
    expect(state(timeline)).to.include({ version: 7 });
  });

  it('keeps a change that arrives before the page, if it was committed later', () => {
    const timeline = new Timeline(ana);
    const changes = [{ user: ana, emoji: '👍', added: true }];
    const reactions = [{ emoji: '👍', count: 1 }];
    timeline.apply({ rev: 9, name: 'reaction:changed', seq: 1, reactions, changes }, false);
    timeline.addPage([edited(6, 'text')], 8, false, 1);
    expect(state(timeline)).to.include({ reactions: '👍1', mine: '👍' });
    timeline.addPage([edited(6, 'text')], 10, false, 1);
    expect(state(timeline)).to.include({ reactions: '', mine: '' });
  });

  it('keeps its own reaction if a page from before it arrives after its acknowledgement', () => {
    const timeline = new Timeline(ana);
    timeline.apply({ rev: 3, name: 'message:new', seq: 1, message: edited(3, 'text') }, false);
    timeline.addReactions(1, [{ emoji: '👍', count: 1, mine: true }], 9);
    timeline.addPage([edited(3, 'text')], 8, false, 1);
    const changes = [{ user: ana, emoji: '👍', added: true }];
    timeline.apply(
      { rev: 9, name: 'reaction:changed', seq: 1, reactions: [{ emoji: '👍', count: 1 }], changes },
      false,
    );
    expect(state(timeline)).to.include({ reactions: '👍1', mine: '👍' });
  });

  it('changes what is its own only with its own reactions', () => {
    const timeline = new Timeline(ana);
    timeline.addPage([edited(3, 'text', { reactions: [{ emoji: '👍', count: 1, mine: true }] })], 4, false, 1);
    const changes = [{ user: ben, emoji: '👍', added: true }];
    timeline.apply(
      { rev: 5, name: 'reaction:changed', seq: 1, reactions: [{ emoji: '👍', count: 2 }], changes },
      false,
    );
    expect(state(timeline)).to.include({ reactions: '👍2', mine: '👍' });
  });

  it('forgets the reactions of a deleted message', () => {
    const timeline = new Timeline(ana);
    timeline.addPage([edited(3, 'text', { reactions: [{ emoji: '👍', count: 1, mine: true }] })], 4, false, 1);
    const message = edited(5, '', { deletedAt: '2026-01-01T00:00:00.000Z' });
    timeline.apply({ rev: 5, name: 'message:changed', seq: 1, message }, false);
    expect(state(timeline)).to.include({ reactions: '', mine: '' });
  });
});

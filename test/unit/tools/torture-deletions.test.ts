import { expect } from 'chai';
import { checkDeletions, findDeletionProblems } from '../../../tools/torture/oracle-deletions.ts';
import {
  type ConsumedChange,
  type DeletedRoom,
  type Evidence,
  newEvidence,
  type RoomListener,
} from '../../../tools/torture/record.ts';

const room = 7;

const change = (rev: number, name: ConsumedChange['name']): ConsumedChange => ({
  ...{ room, rev, name, seq: undefined, cursor: `c${rev}`, text: '' },
});

const removal: RoomListener['removal'] = { code: 'ROOM_DELETED', after: 3 };
const listener = (more: Partial<RoomListener> = {}): RoomListener => ({
  ...{ name: 'Socket.IO', from: 4, revs: [5, 6, 7], removal, hasEnded: false },
  ...more,
});

const delivered = [change(0, 'room.created'), change(1, 'member:changed'), change(1, 'member:changed')];
const deletion = change(8, 'room.deleted');

interface Case {
  answers?: DeletedRoom['answers'];
  listeners?: RoomListener[];
  changes?: ConsumedChange[];
}

function createEvidence({
  answers = [],
  listeners = [listener()],
  changes = [...delivered, deletion],
}: Case): Evidence {
  const evidence = newEvidence();
  evidence.deletedRooms.push({ room, deletedAt: 1_000, answers, listeners });
  evidence.consumers.set('webhook', [
    { at: 0, isAccepted: false, changes: [change(5, 'message:new')] },
    ...changes.map((one) => ({ at: 0, isAccepted: true, changes: [one] })),
  ]);
  return evidence;
}

function findViolations(given: Case): string[] {
  const found: string[] = [];
  checkDeletions(createEvidence(given), (fault, what) => void found.push(`${fault}: ${what}`));
  return found;
}

const answer = (askedAt: number, status: number) => ({ what: 'get /rooms/7', askedAt, status });

describe('the oracle of the torture run, about deleted rooms', () => {
  it('accepts requests that succeed before the deletion is acknowledged, and that find no room or no database later', () => {
    const answers = [answer(900, 200), answer(990, 404), answer(1_001, 404), answer(1_002, 503)];
    expect(findViolations({ answers })).to.deep.equal([]);
  });

  it('accepts that changes are not delivered to a webhook any more, and that a deletion comes again', () => {
    expect(findViolations({ changes: [...delivered, deletion, deletion] })).to.deep.equal([]);
    expect(findDeletionProblems(createEvidence({}))).to.deep.equal([]);
  });

  const violations: [what: string, given: Case, found: string][] = [
    [
      'a room that is found after its deletion',
      { answers: [answer(1_001, 200)] },
      'leaked: get /rooms/7 was answered with 200 after room 7 was deleted',
    ],
    [
      'an answer that is neither',
      { answers: [answer(900, 500)] },
      'protocol: get /rooms/7 was answered with 500, while room 7 was deleted',
    ],
    [
      'a change after the removal',
      { listeners: [listener({ revs: [5, 6, 7, 8] })] },
      'leaked: the listener on Socket.IO in the deleted room 7: rev 8 after it was removed',
    ],
    [
      'another reason for the removal',
      { listeners: [listener({ removal: { code: 'NO_READ', after: 3 } })] },
      'altered: the listener on Socket.IO in the deleted room 7: removed with NO_READ',
    ],
    [
      'a change that is missing',
      { listeners: [listener({ revs: [5, 7] })] },
      'lost: the listener on Socket.IO in the deleted room 7: rev 7 after rev 5',
    ],
    [
      'a change that comes twice',
      { listeners: [listener({ revs: [5, 5, 6] })] },
      'duplicated: the listener on Socket.IO in the deleted room 7: rev 5 after rev 5',
    ],
    [
      'a change for a webhook after the deletion',
      { changes: [...delivered, deletion, change(2, 'message:new')] },
      'leaked: the webhook, deleted room 7: rev 2 after the deletion',
    ],
    [
      'a gap before the deletion',
      { changes: [...delivered, change(4, 'message:new'), deletion] },
      'lost: the webhook, deleted room 7: rev 4 at rev 1',
    ],
  ];

  for (const [what, given, found] of violations) {
    it(`finds ${what}`, () => expect(findViolations(given)).to.deep.equal([found]));
  }

  it('finds a listener that was not removed, and a webhook without the deletion', () => {
    const listeners = [listener({ removal: undefined }), listener({ removal: undefined, hasEnded: true })];
    expect(findDeletionProblems(createEvidence({ listeners, changes: delivered }))).to.deep.equal([
      'the listener on Socket.IO was not removed from the deleted room 7',
      'the webhook has not received the deletion of room 7',
    ]);
  });
});

import { expect } from 'chai';
import type { z } from 'zod';
import { formatCursor, parseCursor } from '../../../src/core/cursor.ts';
import { ChatError, errors } from '../../../src/core/errors.ts';
import { AdminLevel, Level, RoomRef, Uuid } from '../../../src/core/ids.ts';
import { parse } from '../../../src/core/parse.ts';
import { Permissions } from '../../../src/core/room.ts';
import { PutMember } from '../../../src/features/members/contract.ts';
import { ClientMsgId, Content, Custom, Mentions } from '../../../src/features/messages/draft.ts';
import { HistoryQuery } from '../../../src/features/messages/page.ts';
import { CreateRoom } from '../../../src/features/rooms/contract.ts';
import { chatCommands } from '../../helpers/contracts.ts';

interface Table {
  schema: z.ZodType;
  /** Inputs, each with its parsed value. */
  accepts: [unknown, unknown][];
  rejects: unknown[];
}

const upper = 'ABCDEF01-2345-6789-ABCD-EF0123456789';
const text = (length: number) => 'x'.repeat(length);

/** Custom data with so many levels. */
const nested = (levels: number) => ({ a: JSON.parse('['.repeat(levels - 1) + ']'.repeat(levels - 1)) });
const user = 'aaaaaaaa-0000-4000-8000-000000000001';

const tables: Record<string, Table> = {
  'a UUID': {
    schema: Uuid,
    accepts: [
      [upper, upper.toLowerCase()],
      ['00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000'],
    ],
    rejects: ['', 'abc', `{${upper}}`, `${upper}\n`, upper.replaceAll('-', ''), upper.replace('A', 'G'), 1, null],
  },
  'a room': {
    schema: RoomRef,
    accepts: [
      [28, 28],
      ['28', 28],
      [9_007_199_254_740_991, 9_007_199_254_740_991],
      [upper, upper.toLowerCase()],
    ],
    rejects: [
      ...['028', '0', '-1', '+1', '1.5', '1e3', ' 1', '1 ', '', 'abc', '0x10', '9007199254740993', '9'.repeat(20)],
      ...[0, -1, 1.5, 2 ** 53, Number.NaN, null, undefined, true, {}, [28], [28, 29]],
    ],
  },
  'a level': {
    schema: Level,
    accepts: [
      [0, 0],
      [100, 100],
      ['100', 100],
      ['0999', 999],
      [2_147_483_647, 2_147_483_647],
    ],
    rejects: [1.5, '1.5', 'high', '', ' 1', '1e2', 2_147_483_648, '2147483648', null, true, [1], Number.NaN],
  },
  'custom data': {
    schema: Custom,
    accepts: [{}, { a: [1, 'x', null, { b: true }] }, { toString: 'x' }, nested(50)].map((same) => [same, same]),
    rejects: [
      { a: 'a\0b' },
      { a: [{ b: '\ud83d' }] },
      { 'k\0': 1 },
      JSON.parse('{"a":{"__proto__":1}}'),
      JSON.parse('{"__proto__":{"a":1}}'),
      nested(51),
      [],
      'x',
      null,
      1,
    ],
  },
  mentions: {
    schema: Mentions,
    accepts: [
      [[], []],
      [[user.toUpperCase(), user], [user]],
    ],
    rejects: [user, null, Array.from({ length: 51 }, () => user)],
  },
  'a level of administration': {
    schema: AdminLevel,
    accepts: [
      [0, 0],
      ['9999', 9_999],
    ],
    rejects: [-1, '-1', 1.5, null],
  },
  permissions: {
    schema: Permissions,
    accepts: [
      ['r', 'r'],
      ['rw', 'rw'],
      ['wr', 'rw'],
      ['bawr', 'rwab'],
      ['rrww', 'rw'],
    ],
    rejects: ['', 'x', 'rx', 'RW', 'r w', false, true, null, undefined, ['r'], 7],
  },
  content: {
    schema: Content,
    accepts: ['x', ' ', '"quotes" \\ and <b>HTML</b>', '👩‍👩‍👧‍👦 ñ', '\u0001\n\t', '\\u0000'].map((same) => [
      same,
      same,
    ]),
    rejects: ['\0', 'a\0b', '\ud83d', 42, true, null, undefined, {}, ['x']],
  },
  'a client_msg_id': {
    schema: ClientMsgId,
    accepts: ['a', 'A-z_9', text(64)].map((same) => [same, same]),
    rejects: ['', text(65), 'a b', 'a.b', 'ñ', 'a\n', 7, {}],
  },
};

function refusal(schema: z.ZodType, given: unknown): Pick<ChatError, 'code' | 'field' | 'detail'> | undefined {
  try {
    parse(schema, given);
  } catch (error) {
    if (error instanceof ChatError) return error;
    throw error;
  }
  return undefined;
}

for (const [name, { schema, accepts, rejects }] of Object.entries(tables)) {
  describe(name, () => {
    for (const [given, parsed] of accepts) {
      it(`accepts ${JSON.stringify(given)} as ${name}`, () => {
        expect(parse(schema, given)).to.deep.equal(parsed);
      });
    }
    for (const given of rejects) {
      it(`rejects the ${typeof given} ${JSON.stringify(given)} as ${name}`, () => {
        expect(refusal(schema, given)).to.include({ code: 'BAD_REQUEST' });
        expect(refusal(schema, given)!.detail, 'our own message').to.match(/^(must|is|may) /);
      });
    }
  });
}

describe('dates of a history query', () => {
  const span = (query: object) => {
    const { dateFrom, dateTo } = parse(HistoryQuery, query);
    return [dateFrom, dateTo].map((at) => (at === undefined ? undefined : new Date(at).toISOString()));
  };

  it('reads bare dates of a history query as whole days in UTC', () => {
    expect(span({ dateFrom: '2026-02-28', dateTo: '2026-02-28' })).to.deep.equal([
      '2026-02-28T00:00:00.000Z',
      '2026-02-28T23:59:59.999Z',
    ]);
  });

  it('reads timestamps of a history query in their time zone', () => {
    expect(span({ dateFrom: '2026-02-28T10:00:00Z', dateTo: '2026-02-28T10:00:00.250-03:00' })).to.deep.equal([
      '2026-02-28T10:00:00.000Z',
      '2026-02-28T13:00:00.250Z',
    ]);
  });

  const wrongDates =
    'yesterday 2026-02-30 2026-02-30T10:00:00Z 2026-13-01 28/02/2026 1772236800000 2026-02-28T25:00:00Z'.split(' ');
  for (const wrong of ['', ...wrongDates]) {
    it(`rejects ${JSON.stringify(wrong)} as a date of a history query`, () => {
      expect(refusal(HistoryQuery, { dateFrom: wrong })).to.include({ field: 'dateFrom' });
      expect(refusal(HistoryQuery, { dateTo: wrong })).to.include({ field: 'dateTo' });
    });
  }
});

describe('a history query', () => {
  it('requests the latest 100 messages by default', () => {
    expect(parse(HistoryQuery, {})).to.deep.equal({ limit: 100 });
  });

  it('accepts numbers of a history query as digits', () => {
    expect(parse(HistoryQuery, { limit: '500', before: '7' })).to.deep.equal({ limit: 500, before: 7 });
  });

  for (const limit of [0, 501, -1, '-1', 1.5, 'all', '']) {
    it(`rejects a history query with the limit ${JSON.stringify(limit)}`, () => {
      expect(refusal(HistoryQuery, { limit })).to.include({ field: 'limit' });
    });
  }

  it('rejects a history query with more than one of before, after and around', () => {
    for (const [one, other] of ['before after', 'after around', 'before around'].map((pair) => pair.split(' '))) {
      expect(refusal(HistoryQuery, { [one!]: 1, [other!]: 1 })).to.include({ code: 'BAD_REQUEST' });
    }
    expect(parse(HistoryQuery, { after: 3, dateTo: '2026-01-01' })).to.include({ after: 3 });
  });
});

describe('bodies', () => {
  it('applies the specified defaults to a new room, and ignores unknown keys', () => {
    expect(parse(CreateRoom, { name: 'room', colour: 'red', user_owner: upper })).to.deep.equal({
      name: 'room',
      level_admin: 100,
      type: 'group',
      open_to_entity: true,
    });
  });

  it('requires exactly one grantee for a member', () => {
    const permissions = 'rw';
    for (const one of ['entity_UUID', 'userUUID', 'entityUUID']) {
      expect(parse(PutMember, { [one]: upper, permissions })).to.have.property(one, upper.toLowerCase());
    }
    for (const wrong of [{}, { userUUID: upper, entityUUID: upper }, null, [], 'x']) {
      expect(refusal(PutMember, wrong)).to.include({ code: 'BAD_REQUEST' });
    }
  });

  it('names the invalid field of a new room and the reason', () => {
    const refused = refusal(CreateRoom, { name: 'room', level_admin: 1.5 });
    expect(refused).to.include({ field: 'level_admin' });
    expect(refused!.detail).to.match(/^level_admin: .*integer/);
  });
});

describe('a /chat message', () => {
  it('reads the content of a /chat message from msg if content is absent', () => {
    expect(parse(chatCommands.message.frame, { type: 'message', msg: 'old' })).to.include({ content: 'old' });
    expect(parse(chatCommands.message.frame, { type: 'message', msg: 'old', content: null })).to.include({
      content: 'old',
    });
    for (const msg of ['old', '', 7, null]) {
      expect(parse(chatCommands.message.frame, { type: 'message', msg, content: 'new' })).to.include({
        content: 'new',
      });
    }
  });

  it('names the invalid field of a /chat message', () => {
    for (const [frame, field] of [
      [{}, 'content'],
      [{ content: 7 }, 'content'],
      [{ msg: '' }, 'msg'],
    ] as const) {
      expect(refusal(chatCommands.message.frame, { type: 'message', ...frame })).to.include({
        code: 'BAD_REQUEST',
        field,
      });
    }
  });
});

describe('a cursor', () => {
  const position = { room_id: 9_007_199_254_740_991, rev: 123_456, at: Date.UTC(2026, 1, 28) };

  it('encodes a position as a cursor', () => {
    expect(parseCursor(formatCursor(position))).to.deep.equal(position);
  });

  it('encodes different rooms, revs and epochs as different cursors', () => {
    const others = [{ room_id: 1 }, { rev: 1 }, { at: 1 }].map((other) => formatCursor({ ...position, ...other }));
    expect(new Set([formatCursor(position), ...others])).to.have.property('size', 4);
  });

  for (const invalid of ['', '..', '1.1', '1.1.1.1', 'A.B.C', '1.-1.1', ' 1.1.1', '1.1.1\n', '💥', upper, text(128)]) {
    it(`rejects ${JSON.stringify(invalid)} as a cursor`, () => {
      expect(parseCursor(invalid)).to.equal(undefined);
    });
  }
});

describe('the table of errors', () => {
  const specified = {
    400: ['BAD_REQUEST', 'TOO_MANY_CHANGES'],
    401: ['UNAUTHENTICATED', 'TOKEN_EXPIRED', 'TOKEN_REVOKED'],
    403: ['FORBIDDEN', 'BANNED', 'TOO_MANY_RULES', 'EDIT_CLOSED'],
    404: ['NOT_FOUND', 'NO_MESSAGE'],
    409: [
      'ID_REUSED',
      'DELETED',
      'CONFLICT',
      'OUT_OF_ORDER',
      'TOO_MANY_REACTIONS',
      'LAST_ADMIN',
      'ROOM_FULL',
      'PAIR_EXISTS',
      'KEY_CONFLICT',
    ],
    413: ['TOO_LARGE'],
    429: ['RATE_LIMITED', 'TOO_MANY_ROOMS', 'TOO_MANY_CONNECTIONS'],
    500: ['INTERNAL'],
    503: ['UNAVAILABLE'],
  };

  it('lists exactly the specified error codes with their HTTP statuses', () => {
    const table = Object.groupBy(Object.entries(errors), ([, { http }]) => String(http));
    const codes = Object.entries(table).map(([http, rows]) => [http, rows!.map(([code]) => code)]);
    expect(Object.fromEntries(codes)).to.deep.equal(specified);
  });

  it('converts a foreign error into INTERNAL without its text', () => {
    const error = ChatError.from(new Error('select * from secrets'));
    expect(error.code).to.equal('INTERNAL');
    expect(error.detail).not.to.include('secrets');
  });
});

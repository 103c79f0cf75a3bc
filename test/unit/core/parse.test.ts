import { expect } from 'chai';
import { z } from 'zod';
import { ChatError } from '../../../src/core/errors.ts';
import { findUnknownKeys, parseWithIgnored } from '../../../src/core/parse.ts';
import { PutMember } from '../../../src/features/members/contract.ts';
import { Draft } from '../../../src/features/messages/draft.ts';
import { HistoryQuery } from '../../../src/features/messages/page.ts';
import { CreateRevocation } from '../../../src/features/revocations/revocation.ts';
import { ChangeRoom, CreateRoom } from '../../../src/features/rooms/contract.ts';
import { chatCommands } from '../../helpers/contracts.ts';

function slip(schema: z.ZodType, input: unknown): string | undefined {
  try {
    findUnknownKeys(schema, input);
    return undefined;
  } catch (error) {
    if (!(error instanceof ChatError) || error.code !== 'BAD_REQUEST') throw error;
    return error.detail;
  }
}

describe('findUnknownKeys, for a probable typo', () => {
  const slips: [schema: z.ZodType, key: string, meant: string][] = [
    [Draft, 'clientMsgId', 'client_msg_id'],
    [Draft, 'client_msgid', 'client_msg_id'],
    [Draft, 'CLIENT_MSG_ID', 'client_msg_id'],
    [CreateRoom, 'levelAdmin', 'level_admin'],
    [CreateRoom, 'level-admin', 'level_admin'],
    [CreateRoom, 'maxEntityRules', 'max_entity_rules'],
    [CreateRoom, 'max_entity_rule', 'max_entity_rules'],
    [CreateRoom, 'types', 'type'],
    [ChangeRoom, 'levle_admin', 'level_admin'],
    [PutMember, 'permission', 'permissions'],
    [PutMember, 'userId', 'userUUID'],
    [PutMember, 'user_uuid', 'userUUID'],
    [HistoryQuery, 'date_from', 'dateFrom'],
    [HistoryQuery, 'befor', 'before'],
    [CreateRevocation, 'issuedBefore', 'issued_before'],
    [chatCommands.select_room.frame, 'sinc', 'since'],
    [chatCommands.message.frame, 'clientMsgID', 'client_msg_id'],
    [chatCommands.get_past_messages.frame, 'limits', 'limit'],
  ];
  for (const [schema, key, meant] of slips) {
    it(`rejects the key ${key} as a typo of ${meant}`, () => {
      expect(slip(schema, { [key]: 1 })).to.equal(`${key}: is not a known key; did you mean ${meant}?`);
    });
  }

  it('accepts a mistyped key beside the correct key', () => {
    expect(findUnknownKeys(Draft, { content: 'x', client_msg_id: 'a', clientMsgId: 'a' })).to.deep.equal([
      'clientMsgId',
    ]);
  });

  for (const key of ['note', '_id', 'metadata', 'emitter', 'time', 'text', 'ids', 'room_id', '__proto__', '']) {
    it(`accepts the key ${JSON.stringify(key)}, which resembles no known key`, () => {
      const input = JSON.parse(JSON.stringify({ content: 'x' }).replace('{', `{${JSON.stringify(key)}:1,`));
      expect(findUnknownKeys(Draft, input)).to.deep.equal([key]);
    });
  }
});

describe('parseWithIgnored', () => {
  it('reports unknown keys and does not parse them', () => {
    const { data, ignored } = parseWithIgnored(Draft, { content: 'x', type: 'image', metadata: {} });
    expect(data).to.deep.equal({ content: 'x' });
    expect(ignored).to.deep.equal(['type', 'metadata']);
  });

  it('reports at most 20 unknown keys, and none of more than 64 characters', () => {
    const many = (length: number) =>
      Object.fromEntries(Array.from({ length: 5_000 }, (_, n) => [`${n}`.padStart(length, 'x'), n]));
    expect(findUnknownKeys(Draft, { content: 'x', ...many(64) })).to.have.lengthOf(20);
    expect(findUnknownKeys(Draft, { content: 'x', ...many(65) })).to.deep.equal([]);
  });

  it('reports no unknown keys if the input is not an object', () => {
    for (const input of [undefined, null, 'content', 7, [{ contents: 1 }]]) {
      expect(findUnknownKeys(Draft, input)).to.deep.equal([]);
    }
  });

  it('does not report inherited keys of the input', () => {
    expect(findUnknownKeys(z.object({ content: z.string() }), Object.create({ contents: 1 }))).to.deep.equal([]);
  });
});

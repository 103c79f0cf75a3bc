import { expect } from 'chai';
import { z } from 'zod';
import { ChatError } from '../../../src/core/errors.ts';
import { nilUuid } from '../../../src/core/ids.ts';
import { parse } from '../../../src/core/parse.ts';
import { PutRules } from '../../../src/features/admin-members/contract.ts';
import { AdminRoomQuery, PutRoom } from '../../../src/features/admin-rooms/contract.ts';
import { PutMember } from '../../../src/features/members/contract.ts';
import { Draft } from '../../../src/features/messages/draft.ts';
import { notifications } from '../../../src/features/notifications/contract.ts';
import { CreateRevocation } from '../../../src/features/revocations/revocation.ts';
import { ChangeRoom, CreateRoom } from '../../../src/features/rooms/contract.ts';
import { webhooks } from '../../../src/features/webhooks/contract.ts';
import { chatCommands, requests, routes } from '../../helpers/contracts.ts';

/** Why the schema rejects the input, as clients read it; undefined if it accepts it. */
function findProblem(schema: z.ZodType, input: unknown): string | undefined {
  try {
    parse(schema, input);
    return undefined;
  } catch (error) {
    if (!(error instanceof ChatError)) throw error;
    return error.detail;
  }
}

const withExamples = (name: string, schema: z.ZodType): [string, z.ZodType, unknown[]] => [
  name,
  schema,
  (schema.meta()?.examples as unknown[] | undefined) ?? [],
];

/** Every schema for what clients send, with inputs that it accepts. */
const inputs: [title: string, schema: z.ZodType, examples: unknown[]][] = [
  ...routes.flatMap(({ name, route: { params, query, body, headers } }) =>
    [params, query, headers, body?.schema].flatMap((schema): [string, z.ZodType, unknown[]][] =>
      schema ? [[name, schema, schema === body?.schema ? Object.values(body.examples) : []]] : [],
    ),
  ),
  ...Object.entries(requests).map(([name, { payload }]) => withExamples(name, payload)),
  ...Object.entries(chatCommands).map(([name, { frame }]) => withExamples(name, frame)),
];

const long = 'x'.repeat(100_000);
const wrongValues = [
  ...[null, true, 1, 1.5, -1, 1e17, '', 'x', long, '2026-13-41', nilUuid, [], [1], [null], [''], [[]], {}, { a: 1 }],
  ...[Array.from({ length: 1_001 }, () => 1), Array.from({ length: 1_001 }, () => ({}))],
];

/** The keys of the object that the schema accepts. */
function listKeys(schema: unknown): string[] {
  if (schema instanceof z.ZodObject) return Object.keys(schema.shape);
  return schema instanceof z.ZodPipe ? [...listKeys(schema.in), ...listKeys(schema.out)] : [];
}

/** The value with each of its parts replaced by each wrong value, or left out. */
function* mutate(value: unknown): Generator<unknown> {
  yield* wrongValues;
  if (typeof value !== 'object' || value === null) return;
  for (const [key, entry] of Object.entries(value)) {
    for (const wrong of mutate(entry)) {
      yield Array.isArray(value) ? value.with(Number(key), wrong) : { ...value, [key]: wrong };
    }
    if (!Array.isArray(value)) yield Object.fromEntries(Object.entries(value).filter(([name]) => name !== key));
  }
}

describe('rejected input', () => {
  const libraryText = /^(\S+: )?(Invalid|Too (small|big)|Unrecognized|Expected|Required)|\breceived\b|expected .* to /;

  for (const [title, schema, examples] of inputs) {
    it(`is explained without the texts of the schema library: ${title}, ${listKeys(schema).join(', ')}`, () => {
      const bases = examples.length > 0 ? examples : [{}];
      let rejected = 0;
      for (const base of bases) {
        const complete = {
          ...Object.fromEntries(listKeys(schema).map((key) => [key, undefined])),
          ...(base as Record<string, unknown>),
        };
        for (const input of mutate(complete)) {
          // A frame that is no object has no `type`, so it never reaches the schema of a command.
          if (title in chatCommands && (typeof input !== 'object' || input === null)) continue;
          const problem = findProblem(schema, input);
          if (problem === undefined) continue;
          rejected += 1;
          expect(problem).to.not.match(libraryText);
        }
      }
      expect(rejected).to.be.greaterThan(0);
    });
  }

  const texts: [schema: z.ZodType, input: unknown, problem: string][] = [
    ...[null, 1.5, 0, -1, 1e9, '', 'x'].map((value): [z.ZodType, unknown, string] => [
      ChangeRoom,
      { max_entity_rules: value },
      'max_entity_rules: must be a whole number from 1 to 1000000',
    ]),
    ...[null, 1.5, -1, 1e12].map((value): [z.ZodType, unknown, string] => [
      ChangeRoom,
      { level_admin: value },
      'level_admin: must be an integer from 0 to 2147483647, or its digits in a string',
    ]),
    ...['', long, 1.5].map((value): [z.ZodType, unknown, string] => [
      CreateRevocation,
      { jti: value },
      'jti: must be a string of 1 to 255 characters, or a whole number up to 2^53-1',
    ]),
    [PutRules, { rules: [1] }, 'rules.0: must be a JSON object'],
    [webhooks.rest.commandWebhook.body.schema, { redeliver: 1 }, 'redeliver: must be an object with room and from_rev'],
    [webhooks.rest.commandWebhook.body.schema, null, 'the body must be a JSON object'],
    [webhooks.rest.commandWebhook.body.schema, { skip_before: 'x' }, 'skip_before: must be an ISO 8601 date'],
  ];
  for (const [schema, input, problem] of texts) {
    const shown = JSON.stringify(input);
    it(`has the text ${JSON.stringify(problem)} for ${shown.length > 80 ? `${shown.slice(0, 40)}…` : shown}`, () => {
      expect(findProblem(schema, input)).to.equal(problem);
    });
  }
});

describe('the nil UUID', () => {
  const { adminFindRecipients, adminListRoomsOfUser } = notifications.rest;
  const rejects: [what: string, schema: z.ZodType, input: object, field: string][] = [
    ['the other user of a pair', CreateRoom, { name: 'x', type: 'user2user', with: nilUuid }, 'with'],
    ['the other user of a pair with a key', PutRoom, { type: 'user2user', with: nilUuid }, 'with'],
    ['a grantee', PutMember, { userUUID: nilUuid }, 'userUUID'],
    ['a grantee that is an entity', PutMember, { entityUUID: nilUuid }, 'entityUUID'],
    ['a grantee of any kind', PutMember, { entity_UUID: nilUuid }, 'entity_UUID'],
    ['a grantee of a list', PutRules, { rules: [{ userUUID: nilUuid, permissions: 'r' }] }, 'rules.0.userUUID'],
    ['a grantee of the first rules', PutRoom, { rules: [{ entityUUID: nilUuid }] }, 'rules.0.entityUUID'],
    ['a user who is mentioned', Draft, { content: 'x', mentions: [nilUuid] }, 'mentions.0'],
    ['a recipient', adminFindRecipients.body.schema, { users: [{ user: nilUuid }] }, 'users.0.user'],
    ['a user whose rooms are listed', adminListRoomsOfUser.params, { uuid: nilUuid }, 'uuid'],
    ['a user whose rooms the backend looks for', AdminRoomQuery, { user: nilUuid }, 'user'],
    ['a user whose tokens are revoked', CreateRevocation, { userUUID: nilUuid, issued_before: 1 }, 'userUUID'],
  ];
  for (const [what, schema, input, field] of rejects) {
    it(`is rejected as ${what}`, () => {
      expect(findProblem(schema, input)).to.equal(`${field}: must not be the nil UUID, which is the service`);
    });
  }

  it('may be named to remove a rule that an earlier version has stored', () => {
    expect(findProblem(PutRules, { rules: [{ entity_UUID: nilUuid, permissions: null }] })).to.equal(undefined);
  });
});

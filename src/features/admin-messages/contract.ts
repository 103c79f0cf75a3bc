import { z } from 'zod';
import { defineAnswer, ignoredKeys, refusals } from '../../core/contract/rest.ts';
import { Cursor } from '../../core/cursor.ts';
import { ana, ben, exampleEditedMessage, exampleMessage, examplePosition } from '../../core/examples.ts';
import { defineFeature } from '../../core/feature.ts';
import { count, nilUuid, RoomRef, Uuid } from '../../core/ids.ts';
import { Message, Seq } from '../../core/log/message.ts';
import { withKnownKeys } from '../../core/parse.ts';
import { dateBound } from '../../core/timestamp.ts';
import { deletionAnswer, EditBody, editAnswer, editHeaders, MessageParams } from '../edits/contract.ts';
import { ClientMsgId, draftFields, requireContent } from '../messages/draft.ts';

const maxMessages = 500;

const draft = z
  .object(
    {
      emitter: Uuid.default(nilUuid).describe('A user, or the nil UUID for the service itself. Rules are not checked.'),
      ...draftFields,
      createdAt: dateBound('from').optional().describe('When the message was sent, in ISO 8601: for imports.'),
    },
    { error: 'must be a JSON object' },
  )
  .meta({ id: 'ServiceDraft', description: 'A message of the service or of a user.' });
export type ServiceDraft = z.infer<typeof draft>;

export const ServiceMessages = z
  .object(
    {
      messages: z
        .array(withKnownKeys(draft.refine(...requireContent), draft), { error: 'must be an array of messages' })
        .min(1, 'must have at least one entry')
        .max(maxMessages, `must have at most ${maxMessages} entries`)
        .superRefine((messages, context) => {
          const isImport = messages[0]?.createdAt !== undefined;
          const indexById = new Map<string, number>();
          for (const [n, { emitter, client_msg_id, createdAt }] of messages.entries()) {
            if ((createdAt !== undefined) !== isImport) {
              const message = 'must be given for all of the messages or for none';
              context.addIssue({ code: 'custom', path: [n, 'createdAt'], message });
            }
            if (client_msg_id == null) continue;
            const key = `${emitter}/${client_msg_id}`;
            const first = indexById.get(key);
            if (first !== undefined) {
              const message = `must not be the id of messages.${first} as well`;
              context.addIssue({ code: 'custom', path: [n, 'client_msg_id'], message });
            }
            indexById.set(key, n);
          }
        })
        .describe(`Up to ${maxMessages}. All of them are stored, in this order and in one commit, or none.`),
      client_msg_id: ClientMsgId.nullish().describe(
        'For messages without an id: the id of a single message; of several, with the index as a suffix (`KEY-0`).',
      ),
    },
    { error: 'the body must be a JSON object' },
  )
  .meta({ id: 'ServiceMessages' });

const position = { rev: z.int().describe("Position in the room's log."), cursor: Cursor };

const sent = {
  content: z.array(Message).describe('In the order of the request.'),
  meta: {
    duplicates: z
      .array(z.int())
      .describe('The `seq` of the messages that an earlier request has stored under the same `client_msg_id`.'),
    ...position,
    ...ignoredKeys,
  },
};

const systemMessage = { ...exampleMessage, emitter: nilUuid, content: 'Ben joined the crew' } as const;

const Deleted = z.array(z.int()).describe('The `seq` of the messages that this call deleted.');

export const adminMessages = defineFeature('admin-messages', {
  description: 'Messages of the service and of any user.',
  rest: {
    adminSendMessages: {
      method: 'POST',
      path: '/admin/rooms/:id/messages',
      auth: 'admin',
      summary: 'Send up to 500 messages, or import them',
      description: `All of the messages are stored in one commit, or none: the error names the first that cannot be stored. With a unique
\`client_msg_id\` for each message, the call may be repeated until it is answered. Messages without one take it from \`Idempotency-Key\`.

With \`createdAt\`, the messages are an import: in the order of their times, none before the last change of the room, and they
count as read by everybody.`,
      params: z.object({ id: RoomRef }),
      headers: z.object({ 'Idempotency-Key': ClientMsgId.optional() }),
      headerFields: { 'Idempotency-Key': 'client_msg_id' },
      body: {
        schema: ServiceMessages,
        examples: {
          'A system message': {
            messages: [{ content: 'Ben joined the crew', silent: true, client_msg_id: 'joined-7' }],
          },
          'A message of a user': { messages: [{ emitter: ana, content: 'Fueled up and ready to go' }] },
          'An import': {
            messages: [
              { emitter: ana, content: 'Hello', createdAt: '2019-03-01T10:00:00.000Z', client_msg_id: 'old-1' },
              { emitter: ben, content: 'Hi', createdAt: '2019-03-01T10:00:07.000Z', client_msg_id: 'old-2' },
            ],
          },
        },
      },
      answers: {
        200: defineAnswer(200, {
          description: 'All of the messages were stored before; each as it is now, without `reactions` and `replies`.',
          ...sent,
          example: [systemMessage],
          exampleMeta: { duplicates: [1], ...examplePosition },
        }),
        201: defineAnswer(201, {
          description: 'The messages. `meta.rev` and `meta.cursor` are the position of the last one.',
          ...sent,
          example: [systemMessage],
          exampleMeta: { duplicates: [], ...examplePosition },
        }),
      },
      refusals: [...refusals.admin, 'ID_REUSED', 'NO_MESSAGE', 'DELETED', 'OUT_OF_ORDER'],
    },
    adminEditMessage: {
      method: 'PATCH',
      path: '/admin/rooms/:id/messages/:seq',
      auth: 'admin',
      summary: 'Edit a message of anybody',
      description: '`EDIT_SECONDS` does not apply. `If-Match` is `base` as a header.',
      params: MessageParams,
      headers: editHeaders,
      headerFields: { 'If-Match': 'base' },
      body: { schema: EditBody, examples: { 'Another text': { content: exampleEditedMessage.content } } },
      answers: { 200: editAnswer },
      refusals: [...refusals.admin, 'NO_MESSAGE', 'DELETED', 'CONFLICT'],
    },
    adminDeleteMessage: {
      method: 'DELETE',
      path: '/admin/rooms/:id/messages/:seq',
      auth: 'admin',
      summary: 'Delete a message of anybody',
      description: 'A tombstone remains; its `deleted_by` is the nil UUID. Deleting it again succeeds.',
      params: MessageParams,
      answers: { 200: deletionAnswer },
      refusals: [...refusals.admin, 'NO_MESSAGE'],
    },
    adminDeleteMessagesOfEmitter: {
      method: 'DELETE',
      path: '/admin/rooms/:id/messages',
      auth: 'admin',
      summary: 'Delete the messages of an emitter',
      description: `The answer to a wave of spam: ban the user first, so that the wave has an end. Deletes the messages after \`after_seq\`, the
oldest first, in commits of up to 50. A call deletes up to 1,000 messages and looks at up to 50,000; if \`meta.has_more\` is true, repeat
it with \`meta.next\`.`,
      params: z.object({ id: RoomRef }),
      query: z.object({
        emitter: Uuid.describe('Whose messages; the nil UUID for those of the service.'),
        after_seq: count(0, Number.MAX_SAFE_INTEGER).describe('Only messages with a greater `seq`; 0 for all.'),
      }),
      answers: {
        200: defineAnswer(200, {
          description: 'The messages have been deleted.',
          content: z.object({ deleted: Deleted }),
          meta: {
            has_more: z.boolean().describe('Whether the call ended at one of its limits.'),
            next: z
              .object({ after_seq: Seq })
              .nullable()
              .describe('The parameter of the next call; null if `has_more` is false.'),
          },
          example: { deleted: [4, 5, 7] },
          exampleMeta: { has_more: false, next: null },
        }),
      },
      refusals: refusals.admin,
    },
  },
});

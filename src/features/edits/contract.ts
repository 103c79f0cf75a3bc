import { z } from 'zod';
import * as chat from '../../core/contract/chat.ts';
import { defineAnswer, ignoredKeys, refusals } from '../../core/contract/rest.ts';
import * as socketio from '../../core/contract/socketio.ts';
import { Cursor } from '../../core/cursor.ts';
import { exampleEditedMessage } from '../../core/examples.ts';
import { defineFeature } from '../../core/feature.ts';
import { RoomRef } from '../../core/ids.ts';
import { costs } from '../../core/limits/request-costs.ts';
import { Message, Seq } from '../../core/log/message.ts';
import { Content, Custom, Mentions } from '../messages/draft.ts';

const position = { rev: socketio.rev, cursor: Cursor };
const editPosition = { rev: 4, cursor: '1.4.mwtw6795' };

const Base = Seq.describe(
  'The `version` that the edit was made from. If the message has another version and other contents, the edit is a `CONFLICT`.',
);

const editFields = {
  content: Content.optional(),
  custom: Custom.nullable().optional().describe('null removes the custom data.'),
  mentions: Mentions.optional(),
  mention_room: z.boolean({ error: 'must be true or false' }).optional(),
  base: Base.optional(),
};

/** The arguments of `refine`: an edit must change at least one field. */
const requireChange = [
  ({ content, custom, mentions, mention_room }: z.infer<z.ZodObject<typeof editFields>>) =>
    [content, custom, mentions, mention_room].some((value) => value !== undefined),
  { path: ['content'] as string[], message: 'at least one of content, custom, mentions and mention_room is required' },
] as const;

const changed = z
  .boolean()
  .describe('false: the message was already so, for example because this is a retry. Then the log has no new entry.');

const Seqs = z
  .array(Seq, { error: 'must be an array of whole numbers' })
  .min(1, 'must have at least one entry')
  .max(100, 'must have at most 100 entries')
  .describe('The `seq` of the messages, up to 100.');

const Deleted = z
  .array(z.number().int())
  .describe('The `seq` of the messages that this request deleted, without those that were deleted before.');

/** The answers of the routes that edit and delete a message, for its emitter and for the backend. */
export const editAnswer = defineAnswer(200, {
  description: 'The message as it is now.',
  content: Message,
  meta: { changed, ...position, ...ignoredKeys },
  example: exampleEditedMessage,
  exampleMeta: { changed: true, ...editPosition },
});

export const deletionAnswer = defineAnswer(200, {
  description: 'The message has been deleted.',
  content: z.object({ deleted: Deleted }),
  meta: position,
  example: { deleted: [1] },
  exampleMeta: editPosition,
});

export const EditBody = z
  .object(editFields, { error: 'the body must be a JSON object' })
  .refine(...requireChange)
  .meta({ id: 'EditMessage', description: 'The fields to change. Absent fields stay as they are.' });

export const editHeaders = z.object({
  'If-Match': z
    .string()
    .regex(/^"?[0-9]{1,16}"?$/, 'must be the version of a message')
    .transform((tag) => Number(tag.replaceAll('"', '')))
    .optional()
    .describe('`base` as an entity tag, with or without quotes.'),
});

const editRefusals = ['NO_MESSAGE', 'DELETED', 'CONFLICT', 'EDIT_CLOSED'] as const;
export const MessageParams = z.object({ id: RoomRef, seq: Seq.describe('The `seq` of the message.') });

export const edits = defineFeature('edits', {
  description: 'Editing and deleting messages.',
  rest: {
    editMessage: {
      method: 'PATCH',
      path: '/rooms/:id/messages/:seq',
      auth: 'user',
      cost: costs.message,
      summary: 'Edit a message',
      description: `For the emitter, who needs \`w\`, within the server's \`EDIT_SECONDS\`. An edit to the same contents succeeds without a new
\`rev\`, also if the caller may no longer write. \`If-Match\` is \`base\` as a header.`,
      params: MessageParams,
      headers: editHeaders,
      headerFields: { 'If-Match': 'base' },
      body: {
        schema: EditBody,
        examples: {
          'Another text': { content: exampleEditedMessage.content },
          'Only if nobody has edited it meanwhile': { content: exampleEditedMessage.content, base: 3 },
        },
      },
      answers: { 200: editAnswer },
      refusals: [...refusals.room, ...editRefusals],
    },
    deleteMessage: {
      method: 'DELETE',
      path: '/rooms/:id/messages/:seq',
      auth: 'user',
      cost: costs.deletion,
      summary: 'Delete a message',
      description: `For the emitter, if they can read, and in a \`group\` for administrators. A tombstone without content remains. Deleting it
again succeeds.`,
      params: MessageParams,
      answers: { 200: deletionAnswer },
      refusals: [...refusals.room, 'NO_MESSAGE'],
    },
  },
  requests: {
    'message:edit': {
      payload: z
        .object({ room_id: RoomRef, seq: Seq, ...editFields }, socketio.payloadOptions)
        .refine(...requireChange)
        .meta({
          description: 'Edit a message. For the emitter, who needs `w`. Absent fields stay as they are.',
          examples: [{ room_id: 1, seq: 1, content: exampleEditedMessage.content, base: 3 }],
        }),
      ack: z.object({ message: Message, changed, ...position }),
      refusals: [...socketio.roomRefusals, 'TOO_LARGE', ...editRefusals],
      cost: costs.message,
    },
    'message:delete': {
      payload: z.object({ room_id: RoomRef, seqs: Seqs }, socketio.payloadOptions).meta({
        description:
          'Delete messages: all or none of them. For the emitter, and in a `group` for administrators. Deleted messages succeed.',
        examples: [{ room_id: 1, seqs: [1] }],
      }),
      ack: z.object({ deleted: Deleted, ...position }),
      refusals: [...socketio.roomRefusals, 'NO_MESSAGE'],
      cost: costs.deletion,
    },
  },
  commands: {
    edit: {
      needs: 'room',
      frame: z
        .object({ type: z.literal('edit'), seq: Seq, ...editFields })
        .refine(...requireChange)
        .meta({
          description: 'Legal in a room. Edits a message of the caller. Requires `w`.',
          examples: [{ type: 'edit', seq: 1, content: exampleEditedMessage.content, id: 8 }],
        }),
      answers: ['OK', 'SELECTROOM?', ...chat.beforeTokenFrames, 'NOTAUTHORIZED', 'ERROR'],
      refusals: [...chat.roomRefusals, 'TOO_LARGE', ...editRefusals],
      cost: costs.message,
    },
    delete: {
      needs: 'room',
      frame: z.object({ type: z.literal('delete'), seqs: Seqs }).meta({
        description: 'Legal in a room. Deletes messages: all or none of them.',
        examples: [{ type: 'delete', seqs: [4], id: 9 }],
      }),
      answers: ['OK', 'SELECTROOM?', ...chat.beforeTokenFrames, 'NOTAUTHORIZED', 'ERROR'],
      refusals: [...chat.roomRefusals, 'NO_MESSAGE'],
      cost: costs.deletion,
    },
  },
});

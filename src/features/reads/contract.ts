import { z } from 'zod';
import * as chat from '../../core/contract/chat.ts';
import { defineAnswer, ignoredKeys, refusals } from '../../core/contract/rest.ts';
import * as socketio from '../../core/contract/socketio.ts';
import { ben } from '../../core/examples.ts';
import { defineFeature } from '../../core/feature.ts';
import { RoomId, RoomRef, Uuid } from '../../core/ids.ts';
import { costs } from '../../core/limits/request-costs.ts';
import { RoomParams } from '../../core/room.ts';

const wholeNumber = { error: 'must be a whole number, 0 or greater' };
const boolean = z.boolean({ error: 'must be true or false' });
const bodyOptions = { error: 'the body must be a JSON object' };

const mark = {
  seq: z
    .int(wholeNumber)
    .nonnegative(wholeNumber)
    .describe('The newest message that the user has read; 0 for none. Beyond the newest message: the newest.'),
  force: boolean.default(false).describe('true: also move back, to mark messages as unread.'),
};

const personal = {
  muted: boolean.optional().describe('Whether the room only calls for attention if the user is mentioned.'),
  hidden: boolean
    .optional()
    .describe('Whether the room is left out of the list until somebody else sends a message that counts.'),
};

const hasSetting = [
  (settings: { muted?: boolean | undefined; hidden?: boolean | undefined }) =>
    settings.muted !== undefined || settings.hidden !== undefined,
  'at least one of muted and hidden is required',
] as const;

const version = z.int().nonnegative().describe('Grows with every change of the position and of the settings.');

export const ReadState = z
  .object({
    read_seq: z.int().nonnegative().describe('The read position now: it may be beyond the mark.'),
    version,
    unread: z.int().nonnegative().describe('Messages after `read_seq` that count, exact to 99; 100 means 100 or more.'),
    unread_mentions: z
      .int()
      .nonnegative()
      .describe('Messages after `read_seq` that mention the user, their organisation or the room, exact to 99.'),
  })
  .meta({
    id: 'ReadState',
    description: 'How far the user has read in a room. If a client receives two versions, the greater one is newer.',
    examples: [{ read_seq: 5, version: 2, unread: 0, unread_mentions: 0 }],
  });
export type ReadState = z.infer<typeof ReadState>;

export const PersonalSettings = z
  .object({ muted: z.boolean(), hidden: z.boolean(), version })
  .meta({ id: 'PersonalSettings', examples: [{ muted: true, hidden: false, version: 3 }] });
export type PersonalSettings = z.infer<typeof PersonalSettings>;

export const ReadReceipt = z
  .object({
    user: Uuid,
    read_seq: z.int().nonnegative(),
    version: version.describe('If a client knows a greater version of the same user, it keeps that.'),
  })
  .meta({ id: 'ReadReceipt', examples: [{ user: ben, read_seq: 5, version: 2 }] });
export type ReadReceipt = z.infer<typeof ReadReceipt>;

export const ReadChanged = z.object({ room_id: RoomId, reads: z.array(ReadReceipt).max(100) }).meta({
  id: 'ReadChanged',
  description: 'Users have read further. Marks of other users appear in rooms with `receipts`; own ones always.',
  examples: [{ room_id: 1, reads: [{ user: ben, read_seq: 5, version: 2 }] }],
});
export type ReadChanged = z.infer<typeof ReadChanged>;

const events = { 'read:changed': ReadChanged };

export const reads = defineFeature('reads', {
  description: 'How far users have read, what is unread, and their personal settings in each room.',
  rest: {
    markRead: {
      method: 'PUT',
      path: '/rooms/:id/read',
      auth: 'user',
      cost: costs.readState,
      summary: 'Mark messages as read',
      description: `Requires \`r\`. The position only moves forward, unless \`force\` is given. It also moves past own and deleted messages
that follow. Other members learn of it in rooms with \`receipts\`, unless the token has the scope \`receipts:hidden\`.`,
      params: RoomParams,
      body: {
        schema: z.object(mark, bodyOptions).meta({ id: 'MarkRead' }),
        examples: { 'Read up to a message': { seq: 5 }, 'Mark as unread': { seq: 3, force: true } },
      },
      answers: {
        200: defineAnswer(200, {
          description: 'The position and what is unread now.',
          content: ReadState,
          meta: ignoredKeys,
          example: { read_seq: 5, version: 2, unread: 0, unread_mentions: 0 },
        }),
      },
      refusals: refusals.room,
    },
    changePersonal: {
      method: 'PUT',
      path: '/rooms/:id/personal',
      auth: 'user',
      cost: costs.readState,
      summary: 'Mute or hide a room for oneself',
      description: 'Requires `r`. Settings that are omitted stay. Nobody else learns of them.',
      params: RoomParams,
      body: {
        schema: z
          .object(personal, bodyOptions)
          .refine(...hasSetting)
          .meta({ id: 'ChangePersonal', anyOf: Object.keys(personal).map((name) => ({ required: [name] })) }),
        examples: { Mute: { muted: true }, Hide: { hidden: true } },
      },
      answers: {
        200: defineAnswer(200, {
          description: 'The settings now.',
          content: PersonalSettings,
          meta: ignoredKeys,
          example: { muted: true, hidden: false, version: 3 },
        }),
      },
      refusals: refusals.room,
    },
  },
  requests: {
    'read:mark': {
      payload: z.object({ room_id: RoomRef, ...mark }, socketio.payloadOptions).meta({
        description:
          'Mark messages as read, in a room that may or may not be joined. Moves only forward, unless `force` is given. Requires `r`.',
        examples: [
          { room_id: 1, seq: 5 },
          { room_id: 1, seq: 3, force: true },
        ],
      }),
      ack: ReadState,
      refusals: socketio.roomRefusals,
      cost: costs.readState,
    },
    'room:personal': {
      payload: z
        .object({ room_id: RoomRef, ...personal }, socketio.payloadOptions)
        .refine(...hasSetting)
        .meta({
          description: 'Mute or hide a room for oneself. Settings that are omitted stay. Requires `r`.',
          examples: [
            { room_id: 1, muted: true },
            { room_id: 1, hidden: true },
          ],
        }),
      ack: PersonalSettings,
      refusals: socketio.roomRefusals,
      cost: costs.readState,
    },
  },
  commands: {
    mark_read: {
      needs: 'room',
      frame: z.object({ type: z.literal('mark_read'), ...mark }).meta({
        description:
          'Legal in a room. Mark messages as read. The answer has the fields of the acknowledgement of `read:mark`.',
        examples: [{ type: 'mark_read', seq: 5, id: 9 }],
      }),
      answers: ['OK', 'SELECTROOM?', ...chat.beforeTokenFrames, 'NOTAUTHORIZED', 'ERROR'],
      refusals: chat.roomRefusals,
      cost: costs.readState,
    },
  },
  events,
  frames: chat.defineEventFrames(events),
  joinOptions: {
    reads: {
      description:
        'How far users have read: in a room with `receipts` everybody who may read, otherwise only the caller. Later changes arrive as `read:changed` with or without this option.',
      answer: z.array(ReadReceipt),
    },
  },
});

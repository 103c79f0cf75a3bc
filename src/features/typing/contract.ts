import { z } from 'zod';
import * as chat from '../../core/contract/chat.ts';
import * as socketio from '../../core/contract/socketio.ts';
import { ana } from '../../core/examples.ts';
import { defineFeature } from '../../core/feature.ts';
import { RoomId, RoomRef, Uuid } from '../../core/ids.ts';
import { costs } from '../../core/limits/request-costs.ts';

const thread = z.int().positive();
const input = {
  typing: z.boolean().describe('`true` while the user types, every 3 s; `false` when they stop.'),
  thread: thread.optional().describe('The `seq` of the root, if the user types in a thread.'),
};

export const Typist = z.object({ user: Uuid, thread: thread.optional() });
export type Typist = z.infer<typeof Typist>;

export const TypingChanged = z
  .object({
    room_id: RoomId,
    users: z.array(Typist).describe('Up to 10 of those who are typing, the caller included.'),
    count: z.int().nonnegative().describe('How many are typing.'),
  })
  .meta({
    id: 'TypingChanged',
    description: 'The users who are typing in the room now. Replaces what was sent before.',
    examples: [{ room_id: 1, users: [{ user: ana }], count: 1 }],
  });
export type TypingChanged = z.infer<typeof TypingChanged>;

const events = { 'typing:changed': TypingChanged };

export const typing = defineFeature('typing', {
  description: 'Who is typing in a room. Ephemeral: never stored, and dropped first under load.',
  requests: {
    'typing:set': {
      payload: z.object({ room_id: RoomRef, ...input }, socketio.payloadOptions).meta({
        description: 'Start or stop typing in a joined room. Ends by itself 6 s after the last `true`. Requires `w`.',
        examples: [
          { room_id: 1, typing: true },
          { room_id: 1, typing: true, thread: 4 },
        ],
      }),
      ack: z.object({}),
      refusals: [...socketio.commonRefusals, 'FORBIDDEN'],
      cost: costs.read,
    },
  },
  commands: {
    typing: {
      needs: 'room',
      frame: z.object({ type: z.literal('typing'), ...input }).meta({
        description: 'Legal in a room. Start or stop typing. Ends by itself 6 s after the last `true`. Requires `w`.',
        examples: [{ type: 'typing', typing: true, id: 8 }],
      }),
      answers: ['OK', 'SELECTROOM?', ...chat.beforeTokenFrames, 'NOTAUTHORIZED', 'ERROR'],
      refusals: [...chat.commonRefusals, 'RATE_LIMITED', 'BAD_REQUEST', 'FORBIDDEN'],
      cost: costs.read,
    },
  },
  events,
  frames: chat.defineEventFrames(events),
});

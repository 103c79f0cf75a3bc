import { z } from 'zod';
import { defineAnswer, refusals } from '../../core/contract/rest.ts';
import { ana, ben } from '../../core/examples.ts';
import { defineFeature } from '../../core/feature.ts';
import { RoomId, Uuid } from '../../core/ids.ts';
import { costs } from '../../core/limits/request-costs.ts';
import { RoomParams } from '../../core/room.ts';

const fields = {
  count: z.int().nonnegative().describe('How many users are present.'),
  users: z.array(Uuid).optional().describe('All of them, unless they are more than 100.'),
  partial: z.literal(true).optional().describe('The users of other nodes may be missing.'),
};

export const Presence = z.object(fields).meta({ id: 'Presence' });
export type Presence = z.infer<typeof Presence>;

export const PresenceChanged = z.object({ room_id: RoomId, ...fields }).meta({
  id: 'PresenceChanged',
  description: 'The users who are present in the room now. Replaces what was sent before.',
  examples: [{ room_id: 1, count: 2, users: [ana, ben] }],
});
export type PresenceChanged = z.infer<typeof PresenceChanged>;

export const presence = defineFeature('presence', {
  description: 'Who is present in a room. Ephemeral: never stored, and dropped first under load.',
  rest: {
    readPresence: {
      method: 'GET',
      path: '/rooms/:id/presence',
      auth: 'user',
      cost: costs.read,
      summary: 'Read who is present in a room',
      description: 'For readers. `content` is null if the server has `PRESENCE=off`.',
      params: RoomParams,
      answers: {
        200: defineAnswer(200, {
          description: 'The users who are present.',
          content: Presence.nullable(),
          example: { count: 2, users: [ana, ben] },
        }),
      },
      refusals: refusals.room,
    },
  },
  joinOptions: {
    presence: {
      description: 'Asks for the users who are present, and from then on for `presence:changed`.',
      answer: Presence.nullable(),
    },
  },
  events: { 'presence:changed': PresenceChanged },
});

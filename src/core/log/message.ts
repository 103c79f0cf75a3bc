import { z } from 'zod';
import { exampleMessage } from '../examples.ts';
import { RoomId, Uuid } from '../ids.ts';

const date = z.iso.datetime();

export const Message = z
  .object({
    id: z.number().int(),
    room_id: RoomId,
    seq: z.number().int().describe('Position in the room: 1, 2, 3… without gaps.'),
    emitter: Uuid.describe('The user who wrote it.'),
    content: z.string().describe('Exactly as sent.'),
    client_msg_id: z.string().nullable().describe("The sender's id for it; null if they gave none."),
    createdAt: date.describe('Never decreases with `seq`.'),
    updatedAt: date,
  })
  .meta({ id: 'Message', examples: [exampleMessage] });
export type Message = z.infer<typeof Message>;

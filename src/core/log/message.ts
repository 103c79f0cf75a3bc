import { z } from 'zod';
import { exampleMessage } from '../examples.ts';
import { count, RoomId, Uuid } from '../ids.ts';

const date = z.iso.datetime();

const seqNumber = z.number().int().nonnegative();

/** How often members reacted to a message with this emoji. */
export const ReactionCount = z
  .object({
    emoji: z.string(),
    count: z.number().int().positive(),
    mine: z
      .literal(true)
      .optional()
      .describe('The caller is one of them. Only in answers that are made for one caller.'),
  })
  .meta({ id: 'ReactionCount', examples: [{ emoji: '👍', count: 2, mine: true }] });
export type ReactionCount = z.infer<typeof ReactionCount>;

/** A reaction that a user added or removed. */
export const ReactionDelta = z
  .object({ user: Uuid, emoji: z.string(), added: z.boolean() })
  .meta({ id: 'ReactionDelta' });
export type ReactionDelta = z.infer<typeof ReactionDelta>;

/** The replies in a thread, without those that were deleted. */
export const Replies = z
  .object({
    count: z.number().int().nonnegative(),
    last_seq: seqNumber.describe('The newest reply; 0 if none is left.'),
  })
  .meta({ id: 'Replies', examples: [{ count: 2, last_seq: 9 }] });
export type Replies = z.infer<typeof Replies>;

/** The root of the thread that a reply belongs to. */
export const Root = z
  .object({ seq: seqNumber, replies: Replies })
  .meta({ id: 'Root', description: 'The root of the thread that the message belongs to.' });
export type Root = z.infer<typeof Root>;

/** JSON of the app, which the service does not interpret. */
export const CustomData = z
  .record(z.string(), z.unknown(), { error: 'must be a JSON object' })
  .meta({ id: 'CustomData', description: 'JSON of the app. The service does not interpret it.' });
export type CustomData = z.infer<typeof CustomData>;

export const Message = z
  .object({
    id: z.number().int(),
    room_id: RoomId,
    seq: z.number().int().describe('Position in the room: 1, 2, 3… without gaps.'),
    emitter: Uuid.describe('The user who wrote it; the nil UUID if the service itself sent it.'),
    content: z.string().describe('Exactly as sent or edited; empty if the message was deleted or has only `custom`.'),
    client_msg_id: z.string().nullable().describe("The sender's id for it; null if they gave none."),
    createdAt: date.describe('Never decreases with `seq`.'),
    updatedAt: date,
    version: z
      .number()
      .int()
      .describe(
        'The `rev` of its last edit or deletion, or of the message itself. Of two copies, the greater version wins.',
      ),
    reply_to: seqNumber.optional().describe('The `seq` of the message that it quotes. That message may be deleted.'),
    thread: seqNumber.optional().describe('The `seq` of the root of its thread.'),
    mentions: z.array(Uuid).optional().describe('Users and organisations that it addresses.'),
    mention_room: z.literal(true).optional().describe('It addresses everybody in the room.'),
    custom: CustomData.optional(),
    silent: z.literal(true).optional().describe('It does not count as unread.'),
    editedAt: date.optional().describe('When its content last changed.'),
    deletedAt: date
      .optional()
      .describe('The message was deleted: it has no content, custom data, mentions or reactions.'),
    deleted_by: Uuid.optional().describe('The nil UUID if the service itself deleted it.'),
    reactions: z.array(ReactionCount).optional().describe('In the order in which each emoji first appeared.'),
    replies: Replies.optional().describe('Of the root of a thread.'),
  })
  .meta({ id: 'Message', examples: [exampleMessage] });
export type Message = z.infer<typeof Message>;

/** The `seq` of a message. */
export const Seq = count(1, Number.MAX_SAFE_INTEGER);

/** Bits of `messages.flags`. */
export const messageFlags = { silent: 1, mentionRoom: 2 } as const;

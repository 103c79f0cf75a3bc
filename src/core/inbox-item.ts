import { z } from 'zod';
import { exampleInboxItem, exampleRoom, exampleRule } from './examples.ts';
import { Uuid } from './ids.ts';
import { PermissionRule, Room } from './room.ts';

const date = z.iso.datetime();

export const RoomListItem = PermissionRule.extend(Room.shape).meta({
  id: 'RoomListItem',
  description: "A room and the rule that lets the caller in; `createdAt` and `updatedAt` are the room's.",
  examples: [{ ...exampleRule, ...exampleRoom }],
});
export type RoomListItem = z.infer<typeof RoomListItem>;

const LastMessage = z
  .object({
    seq: z.number().int(),
    emitter: Uuid,
    content: z.string().describe('Its first 256 code points.'),
    custom: z.record(z.string(), z.unknown()).optional().describe('Left out above 1 KiB.'),
    createdAt: date,
    updatedAt: date,
    editedAt: date.optional(),
  })
  .meta({ id: 'LastMessage' });

export const inboxFields = {
  activityAt: date.describe(
    'The order of the list: when the newest message was sent that is neither silent nor a reply, or when the room was created; not before the own rule was made.',
  ),
  read_seq: z.number().int().describe('The read position of the caller.'),
  version: z.number().int().describe('Grows with every change of the position and of `muted` and `hidden`.'),
  unread: z.number().int().describe('Messages after `read_seq` that count, exact to 99; 100 means 100 or more.'),
  unread_mentions: z.number().int().describe('Those that mention the caller, exact to 99.'),
  muted: z.boolean(),
  hidden: z.boolean(),
  last_message: LastMessage.nullable().describe(
    'The newest message that is neither silent, nor a reply, nor deleted; null if there is none among the newest 200.',
  ),
};

export const InboxItem = RoomListItem.extend(inboxFields).meta({
  id: 'InboxItem',
  description: "A room in the caller's inbox.",
  examples: [exampleInboxItem],
});
export type InboxItem = z.infer<typeof InboxItem>;

/**
 * An item of `GET /rooms`. It has the fields of the inbox only if the client asks for them and the actor may read the
 * room.
 */
export const ListedRoom = RoomListItem.extend(z.object(inboxFields).partial().shape).meta({
  id: 'ListedRoom',
  description: 'A room and the rule that lets the caller in; with `inbox=true` also what an inbox shows.',
  examples: [exampleInboxItem],
});
export type ListedRoom = z.infer<typeof ListedRoom>;

/** A position in the list of rooms. */
export interface InboxPosition {
  at: number;
  room_id: number;
}

export function formatInboxCursor({ at, room_id }: InboxPosition): string {
  return `${at.toString(36)}.${room_id.toString(36)}`;
}

const cursorError = 'must be the `next` of an earlier page';

export const InboxCursor = z
  .string({ error: cursorError })
  .regex(/^[0-9a-z]{1,11}\.[0-9a-z]{1,11}$/, cursorError)
  .transform((text): InboxPosition => {
    const [at, room_id] = text.split('.').map((part) => Number.parseInt(part, 36)) as [number, number];
    return { at, room_id };
  })
  .meta({ id: 'InboxCursor', description: 'Opaque: where the next page begins.' });

export const unreadRooms = z
  .array(z.number().int())
  .describe(
    'The ids of up to 100 rooms with something unread: muted rooms only if the caller is mentioned, hidden rooms never.',
  );

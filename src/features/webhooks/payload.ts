import { z } from 'zod';
import { serverEvents } from '../../core/contract/socketio.ts';
import { Cursor } from '../../core/cursor.ts';
import { RoomId, Uuid } from '../../core/ids.ts';
import { PermissionRule, Room, RoomType } from '../../core/room.ts';

/** Names the room of a change, as it is when the request is made. */
export const WebhookRoom = z.object({
  id: RoomId,
  uuid: Uuid,
  key: z.string().nullable().describe("The product's own key of the room; null if it has none."),
  type: RoomType,
  name: z.string(),
});
export type WebhookRoom = z.infer<typeof WebhookRoom>;

const rev = z.int().nonnegative();
const timestamp = z.iso.datetime().describe('When the request was made.');

export const WebhookChange = z.discriminatedUnion('name', [
  z.object({ room: WebhookRoom, name: z.literal('message:new'), payload: serverEvents['message:new'] }),
  z.object({ room: WebhookRoom, name: z.literal('message:changed'), payload: serverEvents['message:changed'] }),
  z.object({ room: WebhookRoom, name: z.literal('change:skipped'), payload: serverEvents['change:skipped'] }),
  z.object({ room: WebhookRoom, name: z.literal('member:changed'), payload: serverEvents['member:changed'] }),
  z.object({ room: WebhookRoom, name: z.literal('room:changed'), payload: serverEvents['room:changed'] }),
]);
export type WebhookChange = z.infer<typeof WebhookChange>;

/** How many of its first rules the creation of a room contains. */
export const maxFirstRules = 1_000;

const RoomCreated = z.object({
  rev,
  cursor: Cursor,
  room: Room,
  rules: z.array(PermissionRule).max(maxFirstRules).describe('The first rules: the owner and the invitations.'),
  has_more_rules: z.boolean(),
});

const RoomDeleted = z.object({ rev, cursor: Cursor });

/** Has the same form as the other changes, so that a receiver needs only one loop. */
const single = <T extends z.ZodType>(change: T) => z.object({ changes: z.array(change).length(1) });

/** The body of a request to an endpoint, and what a consumer in the same process receives. */
export const WebhookPayload = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('changes'),
    timestamp,
    data: z.object({ changes: z.array(WebhookChange).min(1).max(100) }),
  }),
  z.object({
    type: z.literal('room.created'),
    timestamp,
    data: single(z.object({ room: WebhookRoom, name: z.literal('room.created'), payload: RoomCreated })),
  }),
  z.object({
    type: z.literal('room.deleted'),
    timestamp,
    data: single(z.object({ room: WebhookRoom, name: z.literal('room.deleted'), payload: RoomDeleted })),
  }),
]);
export type WebhookPayload = z.infer<typeof WebhookPayload>;

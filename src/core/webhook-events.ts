/** The changes of a room's log that webhooks deliver, by the names that Socket.IO clients receive. */
export const webhookChangeNames = ['message:new', 'message:changed', 'member:changed', 'room:changed'] as const;

/** What no room's log contains. Each is a separate request. */
export const webhookRoomEvents = ['room.created', 'room.deleted'] as const;

/** What an endpoint can choose with `events`. `message:changed` includes reactions and skipped changes. */
export const webhookEventNames = [...webhookChangeNames, ...webhookRoomEvents] as const;
export type WebhookEventName = (typeof webhookEventNames)[number];

export const webhookNameShape = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/;
export const webhookNameError = 'must be 1 to 63 of A-Z a-z 0-9 _ . -, beginning with a letter or digit';

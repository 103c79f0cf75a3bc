import { z } from 'zod';
import * as socketio from '../../core/contract/socketio.ts';
import { exampleInboxItem } from '../../core/examples.ts';
import { defineFeature } from '../../core/feature.ts';
import { count, flag } from '../../core/ids.ts';
import { InboxCursor, InboxItem, unreadRooms } from '../../core/inbox-item.ts';
import { costs } from '../../core/limits/request-costs.ts';

const next = z
  .string()
  .nullable()
  .describe('`after` of the next page; null if there is none. The order may have changed until then.');
const limit = count(1, 200).default(50).describe('The maximum number of rooms.');

/** `GET /rooms?inbox=true` gives REST clients the same items. */
export const inbox = defineFeature('inbox', {
  description: 'All rooms of a user, live, without joining them.',
  requests: {
    'inbox:open': {
      payload: z.object({ limit }, socketio.payloadOptions).meta({
        description:
          'Open the inbox, or start over. From now on the connection receives `inbox:changed` and `inbox:removed` for every room that the caller can read.',
        examples: [{}, { limit: 20 }],
      }),
      ack: z.object({
        rooms: z.array(InboxItem).meta({ examples: [[exampleInboxItem]] }),
        next,
        unread_rooms: unreadRooms,
      }),
      refusals: socketio.commonRefusals,
      cost: costs.readState,
    },
    'inbox:page': {
      payload: z
        .object(
          {
            after: InboxCursor.nullish().describe('The `next` of the page before; the first page if it is missing.'),
            limit,
            hidden: flag.default(false).describe('true: with hidden rooms.'),
          },
          socketio.payloadOptions,
        )
        .meta({
          description: 'Read another page of the open inbox.',
          examples: [{ after: 'mwtw6795.1' }, { hidden: true }],
        }),
      ack: z.object({ rooms: z.array(InboxItem), next }),
      refusals: [...socketio.commonRefusals],
      cost: costs.readState,
    },
    'inbox:close': {
      payload: z
        .object({}, socketio.payloadOptions)
        .meta({ description: 'Close the inbox. Succeeds also if none is open.', examples: [{}] }),
      ack: z.object({}),
      refusals: socketio.commonRefusals,
      cost: costs.read,
    },
  },
});

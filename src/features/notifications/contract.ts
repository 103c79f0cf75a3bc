import { z } from 'zod';
import { defineAnswer, ignoredKeys, refusals } from '../../core/contract/rest.ts';
import { ben, exampleInboxItem } from '../../core/examples.ts';
import { defineFeature } from '../../core/feature.ts';
import { count, flag, Level, NonNilUuid, RoomRef, Uuid } from '../../core/ids.ts';
import { InboxCursor, ListedRoom, unreadRooms } from '../../core/inbox-item.ts';
import { Seq } from '../../core/log/message.ts';
import { withKnownKeys } from '../../core/parse.ts';

const maxUsers = 1_000;

const Addressee = z
  .object(
    {
      user: NonNilUuid,
      entity: Uuid.nullish().describe('Their organisation; null if they have none. Omit it if it is not known.'),
      level: Level.optional().describe('Their `levelOnEntity`; 0 if it is omitted.'),
    },
    { error: 'must be a JSON object' },
  )
  .meta({ id: 'Addressee' });

const recipientCursorError = 'must be the `next` of an earlier page';

/** A position in the list of recipients: those who are mentioned come first. */
export const RecipientCursor = z
  .string({ error: recipientCursorError })
  .regex(/^[mo]\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, recipientCursorError)
  .transform((text) => ({ isMentioned: text.startsWith('m'), user: text.slice(2) }))
  .meta({ id: 'RecipientCursor', description: 'Opaque: where the next page begins.' });
export type RecipientCursor = z.infer<typeof RecipientCursor>;

export const formatRecipientCursor = ({ isMentioned, user }: RecipientCursor) => `${isMentioned ? 'm' : 'o'}.${user}`;

export const RecipientsQuery = z
  .object(
    {
      users: z
        .array(withKnownKeys(Addressee), { error: 'must be an array of users' })
        .max(maxUsers, `must have at most ${maxUsers} entries`)
        .optional()
        .describe(`Only these users, up to ${maxUsers}. Without it, all with a rule of their own, page by page.`),
      after: RecipientCursor.nullish().describe('The `next` of the page before.'),
      limit: count(1, maxUsers).default(maxUsers).describe('How many rules a page looks at.'),
    },
    { error: 'the body must be a JSON object' },
  )
  .refine(({ users, after }) => users === undefined || after == null, {
    path: ['after'],
    message: 'cannot be used with users',
  })
  .meta({ id: 'RecipientsQuery' });

export const Recipient = z
  .object({
    user: Uuid,
    mentioned: z.boolean().describe('The message mentions the user, their organisation, or everybody in the room.'),
    connected: z
      .boolean()
      .nullable()
      .describe('Whether the user has a live connection on any node; null if it cannot be known.'),
  })
  .meta({ id: 'Recipient', examples: [{ user: ben, mentioned: true, connected: false }] });
export type Recipient = z.infer<typeof Recipient>;

export const notifications = defineFeature('notifications', {
  description: 'Whom to notify: recipients of push notifications, and what a digest needs.',
  rest: {
    adminFindRecipients: {
      method: 'POST',
      path: '/admin/rooms/:id/messages/:seq/recipients',
      auth: 'admin',
      summary: 'Find whom to notify of a message now',
      description: `Left out are the emitter, and users who cannot read the room, have muted it, or have read the message. Ask 2 to 5 seconds
after the message was sent: a user at the screen has read it by then. Nobody is to be notified of a deleted or a silent message.
A page may be short or empty although \`meta.next\` is set.`,
      params: z.object({ id: RoomRef, seq: Seq.describe('The `seq` of the message.') }),
      body: {
        schema: RecipientsQuery,
        examples: {
          Everybody: {},
          'Some users': { users: [{ user: ben, entity: null }] },
        },
      },
      answers: {
        200: defineAnswer(200, {
          description: 'The recipients; those who are mentioned come first.',
          content: z.array(Recipient),
          meta: {
            next: z.string().nullable().describe('`after` of the next page; null if there is none.'),
            ...ignoredKeys,
          },
          example: [{ user: ben, mentioned: true, connected: false }],
          exampleMeta: { next: null },
        }),
      },
      refusals: [...refusals.admin, 'NO_MESSAGE'],
    },
    adminListRoomsOfUser: {
      method: 'GET',
      path: '/admin/users/:uuid/rooms',
      auth: 'admin',
      summary: 'List the rooms of a user',
      description: `Newest activity first, as \`GET /rooms\` lists them for the user. With \`inbox=true\` also what an inbox shows, such as the
unread counts: what a digest needs. The call changes nothing; the user does not count as seen.`,
      params: z.object({ uuid: NonNilUuid }),
      query: z.object({
        inbox: flag.default(false).describe('true: with what an inbox shows.'),
        entity: Uuid.optional().describe('The organisation of the user, on which their rights depend.'),
        level: Level.default(0).describe('Their `levelOnEntity`.'),
        after: InboxCursor.optional().describe('The `next` of the page before.'),
        limit: count(1, 200).default(50).describe('The maximum number of rooms.'),
        hidden: flag.default(false).describe('true: with rooms that the user has hidden.'),
      }),
      answers: {
        200: defineAnswer(200, {
          description: 'The rooms.',
          content: z.array(ListedRoom),
          meta: {
            next: z.string().nullable().describe('`after` of the next page; null if there is none.'),
            unread_rooms: unreadRooms.optional().describe('With the first page of `inbox=true`.'),
          },
          example: [exampleInboxItem],
          exampleMeta: { next: null, unread_rooms: [1] },
        }),
      },
      refusals: refusals.admin,
    },
  },
});

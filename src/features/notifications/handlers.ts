import { inboxFields } from '../../core/inbox-item.ts';
import { implement } from '../app-context.ts';
import * as contract from './contract.ts';
import { findRecipients } from './find-recipients.ts';

const inboxKeys = new Set(Object.keys(inboxFields));

export const notifications = implement(contract.notifications, {
  async adminFindRecipients({ context, params: { id, seq }, body }) {
    const { recipients: content, next } = await findRecipients(context, id, seq, body);
    return { code: 200, content, meta: { next: next && contract.formatRecipientCursor(next) } };
  },
  async adminListRoomsOfUser({ context, params: { uuid }, query: { inbox, entity = null, level, ...page } }) {
    const actor = { user: uuid, entity, level, mayCreateRooms: false };
    const { rooms, next, unread_rooms } = await context.inbox.list(actor, page);
    if (inbox) return { code: 200, content: rooms, meta: { next, ...(unread_rooms && { unread_rooms }) } };
    const content = rooms.map((room) => ({
      ...(Object.fromEntries(Object.entries(room).filter(([key]) => !inboxKeys.has(key))) as typeof room),
    }));
    return { code: 200, content, meta: { next } };
  },
});

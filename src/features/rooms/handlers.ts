import { implement } from '../app-context.ts';
import { changeRoom } from './change-room.ts';
import * as contract from './contract.ts';
import { createRoom } from './create-room.ts';
import { deleteRoom } from './delete-room.ts';
import { listRooms } from './list-rooms.ts';
import { readRoom } from './read-room.ts';
import { join, leave, select } from './subscribe.ts';

export const rooms = implement(contract.rooms, {
  async createRoom({ context, actor, body }) {
    return { code: 200, content: { room: await createRoom(context, actor, body) } };
  },
  async listRooms({ context, actor, query }) {
    const { inbox, after, hidden, accepted, offset } = query;
    if (!inbox) {
      const page = { accepted, offset, limit: query.limit ?? 1_000 };
      return { code: 200, content: await listRooms(context, actor, page), meta: {} };
    }
    const page = { after, hidden, limit: query.limit ?? 50 };
    const { rooms, next, unread_rooms } = await context.concurrentReads.run(actor.user, () =>
      context.inbox.list(actor, page),
    );
    return { code: 200, content: rooms, meta: { next, ...(unread_rooms && { unread_rooms }) } };
  },
  async readRoom({ context, actor, params: { id } }) {
    return { code: 200, content: await readRoom(context, actor, id) };
  },
  async changeRoom({ context, actor, params: { id }, body }) {
    return { code: 200, content: { room: await changeRoom(context, actor, id, body) } };
  },
  async deleteRoom({ context, actor, params: { id } }) {
    await deleteRoom(context, actor, id);
    return { code: 200, content: null };
  },
  'room:join': join,
  'room:leave': leave,
  select_room: select,
});

import { service } from '../../core/authorization.ts';
import { implement } from '../app-context.ts';
import { removeRoom } from '../rooms/delete-room.ts';
import { changeAdminRoom } from './change-room.ts';
import * as contract from './contract.ts';
import { listAdminRooms } from './list-rooms.ts';
import { putRoom } from './put-room.ts';
import { readAdminRoom } from './read-room.ts';

export const adminRooms = implement(contract.adminRooms, {
  async adminPutRoom({ context, params: { id }, body }) {
    const { room, created } = await putRoom(context, id, body);
    return { code: created ? 201 : 200, content: { room } };
  },
  async adminListRooms({ context, query }) {
    const { rooms, next } = await listAdminRooms(context, query);
    return { code: 200, content: rooms, meta: { next } };
  },
  async adminReadRoom({ context, params: { id } }) {
    return { code: 200, content: await readAdminRoom(context, id) };
  },
  async adminChangeRoom({ context, params: { id }, body }) {
    return { code: 200, content: { room: await changeAdminRoom(context, id, body) } };
  },
  async adminDeleteRoom({ context, params: { id } }) {
    await removeRoom(context, service, id);
    return { code: 200, content: null };
  },
});

import { Router } from 'express';
import { parse } from '../../core/errors.ts';
import { parseWithIgnored } from '../../core/unknown-keys.ts';
import type { AppContext } from '../../features/app-context.ts';
import { listRooms } from '../../features/rooms/list-rooms.ts';
import { changeRoom, createRoom, deleteRoom, readRoom } from '../../features/rooms/rooms.ts';
import { roomRoutes } from '../../protocol/rest/rooms.ts';
import { getActor } from './authenticate-request.ts';
import { answer } from './envelope.ts';

export function createRoomRoutes(rooms: AppContext): Router {
  const routes = Router();

  routes.post('/', async (request, response) => {
    const { data, ignored } = parseWithIgnored(roomRoutes.createRoom.body.schema, request.body);
    answer(response, { room: await createRoom(rooms, getActor(request), data) }, { ignored });
  });

  routes.get('/', async (request, response) => {
    const { data: query } = parseWithIgnored(roomRoutes.listRooms.query, request.query);
    answer(response, await listRooms(rooms, getActor(request), query));
  });

  routes.get('/:id', async (request, response) => {
    const { id } = parse(roomRoutes.readRoom.params, request.params);
    answer(response, await readRoom(rooms, getActor(request), id));
  });

  routes.patch('/:id', async (request, response) => {
    const { id } = parse(roomRoutes.changeRoom.params, request.params);
    const { data, ignored } = parseWithIgnored(roomRoutes.changeRoom.body.schema, request.body);
    answer(response, { room: await changeRoom(rooms, getActor(request), id, data) }, { ignored });
  });

  routes.delete('/:id', async (request, response) => {
    const { id } = parse(roomRoutes.deleteRoom.params, request.params);
    await deleteRoom(rooms, getActor(request), id);
    answer(response, null);
  });

  return routes;
}

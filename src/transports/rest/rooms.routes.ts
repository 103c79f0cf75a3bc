import { Router } from 'express';
import { parse } from '../../protocol/errors.ts';
import { roomRoutes } from '../../protocol/rest/rooms.ts';
import { parseNoticing } from '../../protocol/unknown-keys.ts';
import { listRooms } from '../../rooms/room-list.ts';
import { changeRoom, createRoom, deleteRoom, readRoom } from '../../rooms/rooms.ts';
import type { Rooms } from '../../rooms/rooms-context.ts';
import { actorOf } from './authenticate-request.ts';
import { answer } from './envelope.ts';

export function roomsRoutes(rooms: Rooms): Router {
  const routes = Router();

  routes.post('/', async (request, response) => {
    const { data, ignored } = parseNoticing(roomRoutes.createRoom.body.schema, request.body);
    answer(response, { room: await createRoom(rooms, actorOf(request), data) }, { ignored });
  });

  routes.get('/', async (request, response) => {
    const { data: query } = parseNoticing(roomRoutes.listRooms.query, request.query);
    answer(response, await listRooms(rooms, actorOf(request), query));
  });

  routes.get('/:id', async (request, response) => {
    const { id } = parse(roomRoutes.readRoom.params, request.params);
    answer(response, await readRoom(rooms, actorOf(request), id));
  });

  routes.patch('/:id', async (request, response) => {
    const { id } = parse(roomRoutes.changeRoom.params, request.params);
    const { data, ignored } = parseNoticing(roomRoutes.changeRoom.body.schema, request.body);
    answer(response, { room: await changeRoom(rooms, actorOf(request), id, data) }, { ignored });
  });

  routes.delete('/:id', async (request, response) => {
    const { id } = parse(roomRoutes.deleteRoom.params, request.params);
    await deleteRoom(rooms, actorOf(request), id);
    answer(response, null);
  });

  return routes;
}

import { Router } from 'express';
import { parse } from '../../protocol/errors.ts';
import { roomRoutes } from '../../protocol/rest/rooms.ts';
import { listRooms } from '../../rooms/room-list.ts';
import { changeRoom, createRoom, deleteRoom, readRoom } from '../../rooms/rooms.ts';
import type { Rooms } from '../../rooms/rooms-context.ts';
import { actorOf } from './authenticate-request.ts';
import { answer } from './envelope.ts';

export function roomsRoutes(rooms: Rooms): Router {
  const routes = Router();

  routes.post('/', async (request, response) => {
    answer(response, {
      room: await createRoom(rooms, actorOf(request), parse(roomRoutes.createRoom.body.schema, request.body)),
    });
  });

  routes.get('/', async (request, response) => {
    answer(response, await listRooms(rooms, actorOf(request), parse(roomRoutes.listRooms.query, request.query)));
  });

  routes.get('/:id', async (request, response) => {
    const { id } = parse(roomRoutes.readRoom.params, request.params);
    answer(response, await readRoom(rooms, actorOf(request), id));
  });

  routes.patch('/:id', async (request, response) => {
    const { id } = parse(roomRoutes.changeRoom.params, request.params);
    answer(response, {
      room: await changeRoom(rooms, actorOf(request), id, parse(roomRoutes.changeRoom.body.schema, request.body)),
    });
  });

  routes.delete('/:id', async (request, response) => {
    const { id } = parse(roomRoutes.deleteRoom.params, request.params);
    await deleteRoom(rooms, actorOf(request), id);
    answer(response, null);
  });

  return routes;
}

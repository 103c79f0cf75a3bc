import { Router } from 'express';
import { cursorOf } from '../../protocol/cursor.ts';
import { ChatError, parse } from '../../protocol/errors.ts';
import { ClientMsgId, Draft, HistoryQuery } from '../../protocol/message.ts';
import { RoomParams } from '../../protocol/room.ts';
import { readHistory } from '../../rooms/history.ts';
import { sendMessage } from '../../rooms/messages.ts';
import type { Rooms } from '../../rooms/rooms-context.ts';
import { actorOf } from './authenticate-request.ts';
import { answer } from './envelope.ts';

export function messagesRoutes(rooms: Rooms): Router {
  const routes = Router();

  routes.get('/:id/messages', async (request, response) => {
    const { id } = parse(RoomParams, request.params);
    const { messages, head, has_more } = await readHistory(
      rooms,
      actorOf(request),
      id,
      parse(HistoryQuery, request.query),
    );
    const content = messages.map(({ message }) => message);
    answer(response, content, { has_more, rev: head.rev, cursor: cursorOf(head) });
  });

  routes.post('/:id/messages', async (request, response) => {
    const { id: room_id } = parse(RoomParams, request.params);
    const draft = parse(Draft, request.body);
    const client_msg_id = draft.client_msg_id ?? idempotencyKey(request.get('Idempotency-Key'));
    const { stored } = await sendMessage(rooms, actorOf(request), { ...draft, client_msg_id, room_id });
    const { message, duplicate, rev, cursor } = await stored;
    answer(response, message, { code: duplicate ? 200 : 201, ...(duplicate && { duplicate }), rev, cursor });
  });

  return routes;
}

function idempotencyKey(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  const parsed = ClientMsgId.safeParse(header);
  if (parsed.success) return parsed.data;
  throw new ChatError('BAD_REQUEST', { field: 'Idempotency-Key', message: parsed.error.issues[0]?.message });
}

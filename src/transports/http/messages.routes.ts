import { type Request, Router } from 'express';
import { formatCursor } from '../../core/cursor.ts';
import { parse } from '../../core/errors.ts';
import { parseWithIgnored } from '../../core/unknown-keys.ts';
import type { AppContext } from '../../features/app-context.ts';
import { readHistory } from '../../features/messages/history.ts';
import { sendMessage } from '../../features/messages/send-message.ts';
import { messageRoutes } from '../../protocol/rest/messages.ts';
import { getActor } from './authenticate-request.ts';
import { answer } from './envelope.ts';

export function createMessageRoutes(rooms: AppContext): Router {
  const routes = Router();

  routes.get('/:id/messages', async (request, response) => {
    const { id } = parse(messageRoutes.readMessages.params, request.params);
    const { messages, head, has_more } = await readHistory(
      rooms,
      getActor(request),
      id,
      parseWithIgnored(messageRoutes.readMessages.query, request.query).data,
    );
    const content = messages.map(({ message }) => message);
    answer(response, content, { has_more, rev: head.rev, cursor: formatCursor(head) });
  });

  routes.post('/:id/messages', async (request, response) => {
    const { id: room_id } = parse(messageRoutes.sendMessage.params, request.params);
    const { data: draft, ignored } = parseWithIgnored(messageRoutes.sendMessage.body.schema, request.body);
    const client_msg_id = draft.client_msg_id ?? parseIdempotencyKey(request);
    const { stored } = await sendMessage(rooms, getActor(request), { ...draft, client_msg_id, room_id });
    const { message, duplicate, rev, cursor } = await stored;
    answer(response, message, { code: duplicate ? 200 : 201, ...(duplicate && { duplicate }), rev, cursor, ignored });
  });

  return routes;
}

function parseIdempotencyKey(request: Request): string | undefined {
  // A structured header field has a string in quotes.
  const key = request.get('Idempotency-Key')?.replace(/^"(.*)"$/, '$1');
  const headers = { 'Idempotency-Key': key };
  return parse(messageRoutes.sendMessage.headers, headers)['Idempotency-Key'];
}

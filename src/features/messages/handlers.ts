import { formatCursor } from '../../core/cursor.ts';
import { toMessageFrame } from '../../core/log/change-kinds.ts';
import { implement } from '../app-context.ts';
import * as contract from './contract.ts';
import { readHistory } from './history.ts';
import { sendMessage } from './send-message.ts';

export const messages = implement(contract.messages, {
  async readMessages({ context, actor, params: { id }, query }) {
    const { messages: changes, head, has_more } = await readHistory(context, actor, id, query);
    const content = changes.map(({ message }) => message);
    return { code: 200, content, meta: { has_more, rev: head.rev, cursor: formatCursor(head) } };
  },
  async sendMessage({ context, actor, params: { id }, body }) {
    const { stored } = await sendMessage(context, actor, { ...body, room_id: id });
    const { message: content, duplicate, rev, cursor } = await stored;
    return duplicate
      ? { code: 200, content, meta: { duplicate, rev, cursor } }
      : { code: 201, content, meta: { rev, cursor } };
  },
  async 'message:send'({ context, actor, payload }) {
    const { stored } = await sendMessage(context, actor, payload);
    return { later: stored };
  },
  async 'message:history'({ context, actor, payload: { room_id, ...query } }) {
    const { messages: changes, head, has_more } = await readHistory(context, actor, room_id, query);
    const messages = changes.map(({ message }) => message);
    return { messages, rev: head.rev, cursor: formatCursor(head), has_more };
  },
  message: ({ context, actor, frame: { type: _, ...draft }, room, id }) =>
    room.append((onStored) => sendMessage(context, actor, { ...draft, room_id: room.room }, onStored), id),
  async get_past_messages({ context, actor, frame: { limit, before }, connection, room, id }) {
    const { messages: changes, head, has_more } = await readHistory(context, actor, room.room, { limit, before });
    for (const change of changes) connection.send({ ...toMessageFrame(change), history: true });
    if (id === undefined) return;
    const position = { rev: head.rev, cursor: formatCursor(head) };
    connection.send({ type: 'status', data: 'HISTORY', count: changes.length, has_more, ...position, id });
  },
});

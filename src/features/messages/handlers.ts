import { formatCursor } from '../../core/cursor.ts';
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
});

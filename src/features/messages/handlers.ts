import { formatCursor, type Position } from '../../core/cursor.ts';
import type { MessageChange } from '../../core/log/change.ts';
import { toMessageFrame } from '../../core/log/change-kinds.ts';
import { implement } from '../app-context.ts';
import * as contract from './contract.ts';
import { readHistory, readMessages } from './history.ts';
import { sendMessage } from './send-message.ts';

export const messages = implement(contract.messages, {
  async readMessages({ context, actor, params: { id }, query: { seqs, tombstones = false, ...query } }) {
    if (seqs) {
      const { messages, head, missing, has_more, next } = await readMessages(context, actor, id, seqs);
      const meta = { has_more, next: next && { seqs: next.seqs.join() }, missing, ...toPosition(head) };
      return { code: 200, content: toMessages(messages), meta };
    }
    const { messages, head, ...more } = await readHistory(context, actor, id, { ...query, tombstones });
    return { code: 200, content: toMessages(messages), meta: { ...more, ...toPosition(head) } };
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
    const { head, messages, ...more } = await readHistory(context, actor, room_id, { ...query, tombstones: true });
    return { messages: toMessages(messages), ...more, ...toPosition(head) };
  },
  async 'message:read'({ context, actor, payload: { room_id, seqs } }) {
    const { head, messages, ...more } = await readMessages(context, actor, room_id, seqs);
    return { messages: toMessages(messages), ...more, ...toPosition(head) };
  },
  message: ({ context, actor, frame: { type: _, ...draft }, room, id }) =>
    room.append((onStored) => sendMessage(context, actor, { ...draft, room_id: room.room }, onStored), id),
  async get_past_messages({ context, actor, frame: { type: _, ...query }, connection, room, id }) {
    const { messages, head, has_more, next } = await readHistory(context, actor, room.room, {
      ...query,
      tombstones: room.receivesEvents,
    });
    for (const change of messages) connection.send({ ...toMessageFrame(change), history: true });
    if (id === undefined) return;
    const before = next?.before;
    // Clients without events continue before the first message, unless deleted messages are left out there.
    const isNeeded = before !== undefined && (room.receivesEvents || before !== messages[0]?.message.seq);
    const more = { has_more, ...(isNeeded && { next: { before } }) };
    connection.send({ type: 'status', data: 'HISTORY', count: messages.length, ...more, ...toPosition(head), id });
  },
  async read_messages({ context, actor, frame: { seqs }, connection, room, id }) {
    const { head, messages, ...more } = await readMessages(context, actor, room.room, seqs);
    connection.send({ type: 'status', data: 'OK', messages: toMessages(messages), ...more, ...toPosition(head), id });
  },
});

const toMessages = (changes: readonly MessageChange[]) => changes.map(({ message }) => message);
const toPosition = (head: Position) => ({ rev: head.rev, cursor: formatCursor(head) });

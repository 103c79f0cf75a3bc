import { service } from '../../core/authorization.ts';
import { implement } from '../app-context.ts';
import { deleteMessage } from '../edits/delete-messages.ts';
import { editMessage } from '../edits/edit-message.ts';
import * as contract from './contract.ts';
import { deleteMessagesOfEmitter } from './delete-of-emitter.ts';
import { sendServiceMessages } from './send-messages.ts';

export const adminMessages = implement(contract.adminMessages, {
  async adminSendMessages({ context, params: { id }, body }) {
    const { messages: content, ...meta } = await sendServiceMessages(context, id, body);
    return { code: meta.duplicates.length === content.length ? 200 : 201, content, meta };
  },
  async adminEditMessage({ context, params: { id, seq }, body }) {
    const { message: content, ...meta } = await editMessage(context, service, id, { ...body, seq });
    return { code: 200, content, meta };
  },
  async adminDeleteMessage({ context, params: { id, seq } }) {
    const { deleted, ...meta } = await deleteMessage(context, service, id, seq);
    return { code: 200, content: { deleted }, meta };
  },
  async adminDeleteMessagesOfEmitter({ context, params: { id }, query: { emitter, after_seq } }) {
    const { deleted, next } = await deleteMessagesOfEmitter(context, id, emitter, after_seq);
    const meta = { has_more: next !== null, next: next === null ? null : { after_seq: next } };
    return { code: 200, content: { deleted }, meta };
  },
});

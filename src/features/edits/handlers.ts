import { implement } from '../app-context.ts';
import * as contract from './contract.ts';
import { deleteMessage, deleteMessages } from './delete-messages.ts';
import { editMessage } from './edit-message.ts';

export const edits = implement(contract.edits, {
  async editMessage({ context, actor, params: { id, seq }, body }) {
    const { message, changed, rev, cursor } = await editMessage(context, actor, id, { ...body, seq });
    return { code: 200, content: message, meta: { changed, rev, cursor } };
  },
  async deleteMessage({ context, actor, params: { id, seq } }) {
    const { deleted, rev, cursor } = await deleteMessage(context, actor, id, seq);
    return { code: 200, content: { deleted }, meta: { rev, cursor } };
  },
  'message:edit': ({ context, actor, payload: { room_id, ...edit } }) => editMessage(context, actor, room_id, edit),
  'message:delete': ({ context, actor, payload: { room_id, seqs } }) => deleteMessages(context, actor, room_id, seqs),
  async edit({ context, actor, frame: { type: _, ...edit }, connection, room, id }) {
    const edited = await editMessage(context, actor, room.room, edit);
    connection.send({ type: 'status', data: 'OK', ...edited, id });
  },
  async delete({ context, actor, frame: { seqs }, connection, room, id }) {
    const deletion = await deleteMessages(context, actor, room.room, seqs);
    connection.send({ type: 'status', data: 'OK', ...deletion, id });
  },
});

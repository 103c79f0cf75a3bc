import { implement } from '../app-context.ts';
import * as contract from './contract.ts';
import { listReactions } from './list-reactions.ts';
import { react } from './react.ts';

export const reactions = implement(contract.reactions, {
  async addReaction({ context, actor, params: { id, seq, emoji } }) {
    const { reactions: content, ...meta } = await react(context, actor, id, { seq, emoji, added: true });
    return { code: 200, content, meta };
  },
  async removeReaction({ context, actor, params: { id, seq, emoji } }) {
    const { reactions: content, ...meta } = await react(context, actor, id, { seq, emoji, added: false });
    return { code: 200, content, meta };
  },
  async listReactions({ context, actor, params: { id, seq }, query }) {
    const { reactions: content, next } = await listReactions(context, actor, id, { seq, ...query });
    return { code: 200, content, meta: { next } };
  },
  'reaction:add': ({ context, actor, payload: { room_id, ...reaction } }) =>
    react(context, actor, room_id, { ...reaction, added: true }),
  'reaction:remove': ({ context, actor, payload: { room_id, ...reaction } }) =>
    react(context, actor, room_id, { ...reaction, added: false }),
  async react({ context, actor, frame: { seq, emoji, remove = false }, connection, room, id }) {
    const reacted = await react(context, actor, room.room, { seq, emoji, added: !remove });
    connection.send({ type: 'status', data: 'OK', ...reacted, id });
  },
});

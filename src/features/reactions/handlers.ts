import { implement } from '../app-context.ts';
import * as contract from './contract.ts';
import { listReactions } from './list-reactions.ts';
import { react } from './react.ts';

export const reactions = implement(contract.reactions, {
  async addReaction({ context, actor, params: { id, seq, emoji } }) {
    const { reacted } = await react(context, actor, id, { seq, emoji, added: true });
    const { reactions: content, ...meta } = await reacted;
    return { code: 200, content, meta };
  },
  async removeReaction({ context, actor, params: { id, seq, emoji } }) {
    const { reacted } = await react(context, actor, id, { seq, emoji, added: false });
    const { reactions: content, ...meta } = await reacted;
    return { code: 200, content, meta };
  },
  async listReactions({ context, actor, params: { id, seq }, query }) {
    const { reactions: content, next } = await listReactions(context, actor, id, { seq, ...query });
    return { code: 200, content, meta: { next } };
  },
  async 'reaction:add'({ context, actor, payload: { room_id, ...reaction } }) {
    const { reacted } = await react(context, actor, room_id, { ...reaction, added: true });
    return { later: reacted };
  },
  async 'reaction:remove'({ context, actor, payload: { room_id, ...reaction } }) {
    const { reacted } = await react(context, actor, room_id, { ...reaction, added: false });
    return { later: reacted };
  },
  async react({ context, actor, frame: { seq, emoji, remove = false }, connection, room, id }) {
    const { reacted } = await react(context, actor, room.room, { seq, emoji, added: !remove });
    connection.send({ type: 'status', data: 'OK', ...(await reacted), id });
  },
});

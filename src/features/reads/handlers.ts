import { implement } from '../app-context.ts';
import * as contract from './contract.ts';
import { readPositions } from './read-positions.ts';
import { changePersonal, markRead } from './write-read-state.ts';

export const reads = implement(contract.reads, {
  async markRead({ context, actor, params: { id }, body }) {
    return { code: 200, content: await (await markRead(context, actor, id, body)).stored };
  },
  async changePersonal({ context, actor, params: { id }, body }) {
    return { code: 200, content: await (await changePersonal(context, actor, id, body)).stored };
  },
  async 'read:mark'({ context, actor, payload }) {
    return { later: (await markRead(context, actor, payload.room_id, payload)).stored };
  },
  async 'room:personal'({ context, actor, payload }) {
    return { later: (await changePersonal(context, actor, payload.room_id, payload)).stored };
  },
  async 'join:reads'({ context, room, subscriber: { actor } }) {
    const positions = await readPositions(context.store, room, actor);
    return (mayRead) => context.receipts.toPresent(room, actor.user, positions, mayRead);
  },
  async mark_read({ context, actor, frame, connection, room, id }) {
    const { stored } = await markRead(context, actor, room.room, frame);
    connection.send({ type: 'status', data: 'OK', id, ...(await stored) });
  },
});

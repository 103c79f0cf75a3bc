import { implement, requireRoom } from '../app-context.ts';
import * as contract from './contract.ts';

export const presence = implement(contract.presence, {
  async readPresence({ context, actor, params: { id } }) {
    const { room } = await requireRoom(context, actor, 'read', id);
    return { code: 200, content: (await context.presence?.read(room.id)) ?? null };
  },
  async 'join:presence'({ context: { presence }, room, subscriber }) {
    presence?.watch(room);
    return () => presence?.readForFollower(room, subscriber.actor) ?? null;
  },
});

import { implement } from '../app-context.ts';
import * as contract from './contract.ts';
import { setTyping } from './set-typing.ts';

export const typing = implement(contract.typing, {
  async 'typing:set'({ context, connection, payload }) {
    await setTyping(context, connection, payload);
    return {};
  },
  typing({ context, frame: { typing, thread }, connection, room, id }) {
    if (typing) context.typing.start(room.room, room, thread);
    else context.typing.stop(room.room, room);
    connection.send({ type: 'status', data: 'OK', id });
  },
});

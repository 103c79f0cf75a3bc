import type { SocketConnection } from '../../core/connections.ts';
import { ChatError } from '../../core/errors.ts';
import type { RoomRef } from '../../core/ids.ts';
import { type AppContext, findRoomId } from '../app-context.ts';

interface Input {
  room_id: RoomRef;
  typing: boolean;
  thread?: number | undefined;
}

/** Throws `BAD_REQUEST` if the connection has not joined the room. A room that does not exist is treated the same. */
export async function setTyping(
  context: AppContext,
  connection: SocketConnection,
  { room_id, typing, thread }: Input,
): Promise<void> {
  const room = await findRoomId(context, room_id);
  const subscriber = room === undefined ? undefined : connection.findSubscriber(room);
  if (room === undefined || !subscriber) {
    // A connection that is not in the room is not typing there, so there is nothing to end.
    if (!typing) return;
    throw new ChatError('BAD_REQUEST', { field: 'room_id', message: 'join the room before you type in it' });
  }
  if (typing) context.typing.start(room, subscriber, thread);
  else context.typing.stop(room, subscriber);
}

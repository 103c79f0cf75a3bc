import type { JoinResult } from '../../core/connections.ts';
import { formatCursor } from '../../core/cursor.ts';
import { ChatError } from '../../core/errors.ts';
import type { CommandCall, RequestCall } from '../../core/feature.ts';
import { isPlainMessage, toChangeEvent } from '../../core/log/change-kinds.ts';
import { type AppContext, findRoomId, resolveRoomId } from '../app-context.ts';
import type { rooms } from './contract.ts';
import { createJoinAnswers } from './join-options.ts';
import { joinRoom, rejoinRoom } from './join-room.ts';

type JoinCall = RequestCall<(typeof rooms)['requests']['room:join'], AppContext>;
type LeaveCall = RequestCall<(typeof rooms)['requests']['room:leave'], AppContext>;
type SelectCall = CommandCall<(typeof rooms)['commands']['select_room'], AppContext>;

/**
 * Handles `room:join`. The acknowledgement is sent in the same tick in which the subscription goes live. Therefore no
 * live change is sent before the acknowledgement, and none is missing after it.
 */
export async function join(call: JoinCall): Promise<undefined> {
  const { context, connection, payload } = call;
  const id = await findRoomId(context, payload.room_id);
  connection.assertMayJoin(id);
  if (id === undefined) throw new ChatError('NOT_FOUND');
  const subscriber = connection.findSubscriber(id);
  if (subscriber) {
    const readAnswers = createJoinAnswers(context.joinOptions, call, id, subscriber);
    const acknowledge = (joined: JoinResult, answers: object) => {
      connection.catchUp(id);
      call.acknowledge({ ...toAck(joined), ...answers });
    };
    await rejoinRoom(context, subscriber, id, payload, acknowledge, readAnswers);
  } else {
    await connection.subscribe(id, (subscriber) => {
      const readAnswers = createJoinAnswers(context.joinOptions, call, id, subscriber);
      const acknowledge = (joined: JoinResult, answers: object) => call.acknowledge({ ...toAck(joined), ...answers });
      return joinRoom(context, subscriber, id, payload, acknowledge, readAnswers);
    });
  }
  return undefined;
}

const toAck = ({ room, rights, head, recovered, events }: JoinResult) => ({
  ...{ room, rights, rev: head.rev, cursor: formatCursor(head), recovered },
  events: events.map(toChangeEvent),
});

/** Handles `room:leave`. */
export async function leave({ context, connection, payload }: LeaveCall): Promise<Record<string, never>> {
  const id = await findRoomId(context, payload.room_id);
  if (id !== undefined) connection.unsubscribe(id);
  return {};
}

/** Handles `select_room`. */
export async function select({ context, connection, frame, id }: SelectCall): Promise<void> {
  const wanted = await resolveRoomId(context, frame.room_id);
  const receivesEvents = frame.events === true;
  if (connection.room?.room === wanted) return connection.room.confirm(receivesEvents, id);
  const selected = connection.select(wanted, receivesEvents);
  const replay = { since: frame.since, receives: receivesEvents ? undefined : isPlainMessage };
  await selected?.join((onJoined) => joinRoom(context, selected, wanted, replay, onJoined), id);
}

import type { RoomId } from '../../core/ids.ts';
import type { SendQueue } from '../messages/send-queue.ts';
import type { AppliedOperation, WriteRequest } from '../messages/send-request.ts';

const gatherMs = 100;

export interface ReactionBatcher {
  apply(request: WriteRequest): Promise<AppliedOperation>;
}

/**
 * Gathers the reactions of a room, so that many reactions to a message become one entry of the log and one event.
 * The first reaction in a quiet room is stored at once; those of the next 100 ms are stored together.
 */
export function createReactionBatcher(queue: Pick<SendQueue, 'apply'>): ReactionBatcher {
  /** The waiting reactions of each room, as functions that add them to the send queue. */
  const waitingByRoom = new Map<RoomId, (() => void)[]>();

  function startGathering(room: RoomId): void {
    const waiting: (() => void)[] = [];
    waitingByRoom.set(room, waiting);
    setTimeout(() => {
      waitingByRoom.delete(room);
      if (waiting.length === 0) return;
      startGathering(room);
      for (const send of waiting) send();
    }, gatherMs);
  }

  return {
    apply(request) {
      const waiting = waitingByRoom.get(request.room_id);
      if (!waiting) {
        startGathering(request.room_id);
        return queue.apply(request);
      }
      return new Promise((resolve, reject) => {
        waiting.push(() => queue.apply(request).then(resolve, reject));
      });
    },
  };
}

import type { MessageChange } from '../../protocol/change.ts';
import type { RoomId } from '../../protocol/identifiers.ts';
import type { Audience } from '../../rooms/room-feed.ts';
import { messageFrame } from './chat-stay.ts';

interface Listener {
  deliver(change: MessageChange, frame: string): void;
}

/** The `/chat` sessions of this node by room. They are told messages only. */
export interface ChatAudience extends Audience {
  enter(room: RoomId, listener: Listener): void;
  leave(room: RoomId, listener: Listener): void;
}

export function chatAudience(): ChatAudience {
  const rooms = new Map<RoomId, Set<Listener>>();
  return {
    enter(room, listener) {
      const inside = rooms.get(room);
      if (inside) inside.add(listener);
      else rooms.set(room, new Set([listener]));
    },
    leave(room, listener) {
      const inside = rooms.get(room);
      inside?.delete(listener);
      if (inside?.size === 0) rooms.delete(room);
    },
    announce(change) {
      const inside = rooms.get(change.room_id);
      if (change.kind !== 'message' || !inside) return;
      const frame = JSON.stringify(messageFrame(change));
      for (const listener of inside) listener.deliver(change, frame);
    },
  };
}

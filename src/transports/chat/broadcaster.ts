import type { Audience } from '../../core/feed/room-feed.ts';
import type { RoomId } from '../../core/ids.ts';
import type { MessageChange } from '../../core/log/change.ts';
import { RoomWrites } from '../broadcast-batcher.ts';
import { messageFrame } from './message-frame.ts';

export interface Listener {
  /** This room's messages, as frames. */
  hear(frames: readonly Buffer[]): void;
  /** Its own message is told; `true`: in a frame of its own. */
  hearOwn(change: MessageChange): boolean;
  /** It could not be written to, and has a gap. */
  fail(error: unknown): void;
}

/** The `/chat` sessions of this node by room. They are told messages only. */
export interface ChatAudience extends Audience {
  enter(room: RoomId, listener: Listener): void;
  leave(room: RoomId, listener: Listener): void;
  /** The message of that `rev` is this listener's own. Returns the undo. */
  expectOwn(room: RoomId, rev: number, listener: Listener): () => void;
  /** Something else is to be sent to the listener: what was said before in the room goes first. */
  catchUp(room: RoomId, listener: Listener): void;
  /** How often a message has been written to a connection. */
  readonly deliveries: number;
}

export function chatAudience(): ChatAudience {
  const rooms = new Map<RoomId, Set<Listener>>();
  const owners = new Map<string, Listener>();
  const writes = new RoomWrites<RoomId, Listener>({
    membersOf: (room) => rooms.get(room) ?? [],
    write: (listener, { frames }) => listener.hear(frames),
    failed: (listener, error) => listener.fail(error),
  });
  return {
    enter(room, listener) {
      const inside = rooms.get(room);
      if (inside) inside.add(listener);
      else rooms.set(room, new Set([listener]));
      writes.entered(room, listener);
    },
    leave(room, listener) {
      const inside = rooms.get(room);
      if (!inside?.has(listener)) return;
      writes.catchUp(room, listener);
      inside.delete(listener);
      if (inside.size === 0) rooms.delete(room);
    },
    announce(change) {
      const { room_id: room, rev } = change;
      if (change.kind !== 'message' || !rooms.has(room)) return;
      const owner = owners.get(`${room}/${rev}`);
      const text = JSON.stringify(messageFrame(change));
      const wasToldApart = owner?.hearOwn(change);
      writes.say(room, text);
      if (wasToldApart) writes.entered(room, owner!);
    },
    expectOwn(room, rev, listener) {
      const key = `${room}/${rev}`;
      owners.set(key, listener);
      return () => void owners.delete(key);
    },
    catchUp(room, listener) {
      if (rooms.get(room)?.has(listener)) writes.catchUp(room, listener);
    },
    get deliveries() {
      return writes.deliveries;
    },
  };
}

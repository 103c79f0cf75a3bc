import { toMessageFrame } from '../../core/contract/message-frame.ts';
import type { Broadcaster } from '../../core/feed/subscriber.ts';
import type { RoomId } from '../../core/ids.ts';
import type { MessageChange } from '../../core/log/change.ts';
import { BroadcastBatcher } from '../broadcast-batcher.ts';

export interface FrameReceiver {
  /** This room's messages, as frames. */
  write(frames: readonly Buffer[]): void;
  /** Its own message is told; `true`: in a frame of its own. */
  onOwnMessage(change: MessageChange): boolean;
  /** It could not be written to, and has a gap. */
  fail(error: unknown): void;
}

/** The `/chat` sessions of this node by room. They are told messages only. */
export interface ChatBroadcaster extends Broadcaster {
  add(room: RoomId, listener: FrameReceiver): void;
  remove(room: RoomId, listener: FrameReceiver): void;
  /** The message of that `rev` is this listener's own. Returns the undo. */
  expectOwn(room: RoomId, rev: number, listener: FrameReceiver): () => void;
  /** Something else is to be sent to the listener: what was said before in the room goes first. */
  catchUp(room: RoomId, listener: FrameReceiver): void;
  /** How often a message has been written to a connection. */
  readonly deliveries: number;
}

export function createChatBroadcaster(): ChatBroadcaster {
  const rooms = new Map<RoomId, Set<FrameReceiver>>();
  const owners = new Map<string, FrameReceiver>();
  const writes = new BroadcastBatcher<RoomId, FrameReceiver>({
    listSubscribers: (room) => rooms.get(room) ?? [],
    write: (listener, { frames }) => listener.write(frames),
    onError: (listener, error) => listener.fail(error),
  });
  return {
    add(room, listener) {
      const inside = rooms.get(room);
      if (inside) inside.add(listener);
      else rooms.set(room, new Set([listener]));
      writes.skipPending(room, listener);
    },
    remove(room, listener) {
      const inside = rooms.get(room);
      if (!inside?.has(listener)) return;
      writes.catchUp(room, listener);
      inside.delete(listener);
      if (inside.size === 0) rooms.delete(room);
    },
    publish(change) {
      const { room_id: room, rev } = change;
      if (change.kind !== 'message' || !rooms.has(room)) return;
      const owner = owners.get(`${room}/${rev}`);
      const text = JSON.stringify(toMessageFrame(change));
      const wasToldApart = owner?.onOwnMessage(change);
      writes.append(room, text);
      if (wasToldApart) writes.skipPending(room, owner!);
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

import type { EphemeralBroadcaster } from '../../core/ephemeral.ts';
import type { Broadcaster } from '../../core/feed/subscriber.ts';
import type { RoomId } from '../../core/ids.ts';
import type { MessageChange } from '../../core/log/change.ts';
import { toChatFrame } from '../../core/log/change-kinds.ts';
import { BroadcastBatcher, encodeFrame } from '../broadcast-batcher.ts';

export interface FrameReceiver {
  /** Writes encoded frames of the room. */
  write(frames: readonly Buffer[]): void;
  /** Delivers the receiver's own message. Returns true if it was sent in a separate frame. */
  onOwnMessage(change: MessageChange): boolean;
  /** Whether the receiver has asked for events beside messages. */
  readonly receivesEvents: boolean;
  /** Whether too much of what was written has not been sent yet. */
  readonly isCongested: boolean;
  /** Called if a write to the receiver failed, so that it has missed messages. */
  fail(error: unknown): void;
}

/**
 * The `/chat` sessions of this node by room. They receive messages. Ephemeral events go to the sessions that receive
 * events, as frames named `typing_changed` for `typing:changed`; sessions follow no topics.
 */
export interface ChatBroadcaster extends Broadcaster, EphemeralBroadcaster {
  add(room: RoomId, receiver: FrameReceiver): void;
  remove(room: RoomId, receiver: FrameReceiver): void;
  /** Marks the message with this `rev` as sent by the receiver. Returns a function that removes the mark. */
  expectOwnMessage(room: RoomId, rev: number, receiver: FrameReceiver): () => void;
  /** Writes the pending messages of the room before something else is sent to the receiver. */
  catchUp(room: RoomId, receiver: FrameReceiver): void;
  /** How many messages were written, counted once for each connection that received them. */
  readonly deliveries: number;
  /** How many ephemeral events were not written, because the connection was congested. */
  readonly dropped: number;
}

export const encodeEventFrame = (name: string, payload: object): Buffer =>
  encodeFrame(JSON.stringify({ type: name.replace(':', '_'), data: payload }));

export function createChatBroadcaster(): ChatBroadcaster {
  const rooms = new Map<RoomId, Set<FrameReceiver>>();
  const senders = new Map<string, FrameReceiver>();
  let dropped = 0;
  const batcher = new BroadcastBatcher<RoomId, FrameReceiver>({
    listSubscribers: (room) => rooms.get(room) ?? [],
    write: (receiver, { frames }) => receiver.write(frames),
    onError: (receiver, error) => receiver.fail(error),
  });
  return {
    add(room, receiver) {
      const receivers = rooms.get(room);
      if (receivers) receivers.add(receiver);
      else rooms.set(room, new Set([receiver]));
      batcher.skipPending(room, receiver);
    },
    remove(room, receiver) {
      const receivers = rooms.get(room);
      if (!receivers?.has(receiver)) return;
      batcher.catchUp(room, receiver);
      receivers.delete(receiver);
      if (receivers.size === 0) rooms.delete(room);
    },
    publish(change) {
      const { room_id: room, rev } = change;
      const frame = rooms.has(room) ? toChatFrame(change) : null;
      if (!frame) return;
      const text = JSON.stringify(frame);
      const sender = senders.get(`${room}/${rev}`);
      const hasOwnFrame = change.kind === 'message' && sender?.onOwnMessage(change);
      batcher.append(room, text);
      if (hasOwnFrame) batcher.skipPending(room, sender!);
    },
    publishEphemeral({ room_id, topic, name, payload }) {
      if (topic !== undefined) return;
      let frames: Buffer[] | undefined;
      for (const receiver of rooms.get(room_id) ?? []) {
        if (!receiver.receivesEvents) continue;
        frames ??= [encodeEventFrame(name, payload)];
        if (receiver.isCongested) dropped += 1;
        else receiver.write(frames);
      }
    },
    hasFollowers: () => false,
    expectOwnMessage(room, rev, receiver) {
      const key = `${room}/${rev}`;
      senders.set(key, receiver);
      return () => void senders.delete(key);
    },
    catchUp(room, receiver) {
      if (rooms.get(room)?.has(receiver)) batcher.catchUp(room, receiver);
    },
    get deliveries() {
      return batcher.deliveries;
    },
    get dropped() {
      return dropped;
    },
  };
}

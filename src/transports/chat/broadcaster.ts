import { toFrameName } from '../../core/contract/chat.ts';
import type { EphemeralBroadcaster } from '../../core/ephemeral.ts';
import type { Broadcaster } from '../../core/feed/subscriber.ts';
import type { RoomId } from '../../core/ids.ts';
import type { MessageChange } from '../../core/log/change.ts';
import { isPlainMessage, toChatFrame } from '../../core/log/change-kinds.ts';
import { SmallSet } from '../../core/small-set.ts';
import { BroadcastBatcher, encodeFrame } from '../broadcast-batcher.ts';

export interface FrameReceiver {
  /** Writes encoded frames of the room. */
  write(frames: readonly Buffer[]): void;
  /** Delivers the receiver's own message. Returns true if it was sent in a separate frame. */
  onOwnMessage(change: MessageChange): boolean;
  /** Whether the receiver has asked for events besides messages. Constant from `add` to `remove`. */
  readonly receivesEvents: boolean;
  /** Whether the connection has too many unsent bytes. */
  readonly isCongested: boolean;
  /** Called after a failed write: the receiver has missed frames. */
  fail(error: unknown): void;
}

/**
 * The `/chat` sessions of this node, in two groups for each room. Sessions without events receive only messages, and no
 * tombstones. Sessions with events receive every change, and also ephemeral events: the event `typing:changed` becomes
 * the frame `typing_changed`. Sessions follow no topics.
 */
export interface ChatBroadcaster extends Broadcaster, EphemeralBroadcaster {
  add(room: RoomId, receiver: FrameReceiver): void;
  remove(room: RoomId, receiver: FrameReceiver): void;
  /** Marks the message with this `rev` as sent by the receiver. Returns a function that removes the mark. */
  expectOwnMessage(room: RoomId, rev: number, receiver: FrameReceiver): () => void;
  /**
   * Writes the pending frames of the room to the receiver. Called before the receiver is sent anything else, to keep the
   * order.
   */
  catchUp(room: RoomId, receiver: FrameReceiver): void;
  /** How many frames of changes were written, counted once for each connection that received them. */
  readonly deliveries: number;
  /** How many ephemeral events were not written, because the connection was congested. */
  readonly dropped: number;
}

export const encodeEventFrame = (name: string, payload: object): Buffer =>
  encodeFrame(JSON.stringify({ type: toFrameName(name), data: payload }));

type Receivers = SmallSet<FrameReceiver>;

export function createChatBroadcaster(): ChatBroadcaster {
  // Two maps, because most rooms have receivers of one group only.
  const withEvents = new Map<RoomId, Receivers>();
  const withoutEvents = new Map<RoomId, Receivers>();
  const senders = new Map<string, FrameReceiver>();
  let dropped = 0;
  const batcher = new BroadcastBatcher<Receivers, FrameReceiver>({
    listSubscribers: (receivers) => receivers,
    write: (receiver, { frames }) => receiver.write(frames),
    onError: (receiver, error) => receiver.fail(error),
  });
  const selectRooms = ({ receivesEvents }: FrameReceiver) => (receivesEvents ? withEvents : withoutEvents);
  const findReceivers = (room: RoomId, receiver: FrameReceiver) => selectRooms(receiver).get(room);
  return {
    add(room, receiver) {
      const receivers = findReceivers(room, receiver) ?? new SmallSet();
      selectRooms(receiver).set(room, receivers.add(receiver));
      batcher.skipPending(receivers, receiver);
    },
    remove(room, receiver) {
      const receivers = findReceivers(room, receiver);
      if (!receivers?.has(receiver)) return;
      batcher.catchUp(receivers, receiver);
      receivers.delete(receiver);
      if (receivers.size === 0) selectRooms(receiver).delete(room);
    },
    publish(change) {
      const { room_id: room, rev } = change;
      const isPlain = isPlainMessage(change);
      const receiving = [withEvents.get(room), isPlain ? withoutEvents.get(room) : undefined].filter(
        (receivers) => receivers !== undefined,
      );
      const sender = senders.get(`${room}/${rev}`);
      const hasOwnFrame = change.kind === 'message' && sender?.onOwnMessage(change);
      if (receiving.length > 0) {
        const text = JSON.stringify(toChatFrame(change));
        const frame = encodeFrame(text);
        for (const receivers of receiving) batcher.append(receivers, text, frame);
      }
      const senderReceivers = hasOwnFrame && findReceivers(room, sender!);
      if (senderReceivers) batcher.skipPending(senderReceivers, sender!);
    },
    publishEphemeral({ room_id, topic, name, payload }) {
      const receivers = topic === undefined ? withEvents.get(room_id) : undefined;
      if (!receivers) return false;
      batcher.finish(receivers);
      const before = dropped;
      const frames = [encodeEventFrame(name, payload)];
      for (const receiver of receivers) {
        if (receiver.isCongested) dropped += 1;
        else receiver.write(frames);
      }
      return dropped > before;
    },
    hasFollowers: () => false,
    expectOwnMessage(room, rev, receiver) {
      const key = `${room}/${rev}`;
      senders.set(key, receiver);
      return () => void senders.delete(key);
    },
    catchUp(room, receiver) {
      const receivers = findReceivers(room, receiver);
      if (receivers?.has(receiver)) batcher.catchUp(receivers, receiver);
    },
    get deliveries() {
      return batcher.deliveries;
    },
    get dropped() {
      return dropped;
    },
  };
}

import type { EphemeralBus } from '../../core/ephemeral.ts';
import type { RoomId } from '../../core/ids.ts';
import { type NodePresence, type PeerMessage, peerTopic } from './peer-messages.ts';

/** The users who are present in a room on one node. */
export type NodeState = Omit<NodePresence, 'room_id'>;
export type OwnState = Omit<NodeState, 'counter'>;

const maxRoomsPerMessage = 500;
/** A message contains the states of several rooms, with at most this many users in total. */
const maxUsersPerMessage = 1_000;

interface Collaborators {
  bus: Pick<EphemeralBus, 'publish'>;
  readOwn(room: RoomId): OwnState;
  /** A message with states was sent to the node. */
  onStatesSent(node: string): void;
}

/**
 * Sends messages to the other nodes. Questions and states are sent at the end of the tick, with many rooms in one
 * message.
 */
export class PeerOutbox {
  readonly #collaborators: Collaborators;
  /** The rooms about which all nodes are asked at the end of the tick. */
  #questions = new Set<RoomId>();
  /** The rooms whose states are sent at the end of the tick, by the node that receives them. */
  readonly #states = new Map<string, Set<RoomId>>();
  #isFlushing = false;
  /** All messages share it, because the bus is unordered. */
  #counter = 0;

  constructor(collaborators: Collaborators) {
    this.#collaborators = collaborators;
  }

  send(to: string, message: PeerMessage): void {
    this.#collaborators.bus.publish(peerTopic, to === 'all' ? to : { node: to }, message);
  }

  /** Asks for the present users of these rooms, now and whenever they change. */
  ask(to: string, rooms: readonly RoomId[]): void {
    for (let from = 0; from < rooms.length; from += maxRoomsPerMessage) {
      this.#counter += 1;
      const page = rooms.slice(from, from + maxRoomsPerMessage);
      this.send(to, { kind: 'watch', counter: this.#counter, rooms: page });
    }
  }

  /** Asks all nodes. */
  askLater(room: RoomId): void {
    this.#questions.add(room);
    this.#flushLater();
  }

  unwatch(node: string, rooms: RoomId[]): void {
    this.#counter += 1;
    this.send(node, { kind: 'unwatch', counter: this.#counter, rooms });
  }

  /** Sends the state that the room has at the end of the tick. */
  sendStateLater(node: string, room: RoomId): void {
    const rooms = this.#states.get(node) ?? new Set();
    this.#states.set(node, rooms.add(room));
    this.#flushLater();
  }

  #flushLater(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    setImmediate(() => this.#flush());
  }

  #flush(): void {
    this.#isFlushing = false;
    const questions = [...this.#questions];
    this.#questions = new Set();
    this.ask('all', questions);
    for (const [node, rooms] of this.#states) this.#sendStates(node, rooms);
    this.#states.clear();
  }

  #sendStates(node: string, rooms: Iterable<RoomId>): void {
    const { readOwn, onStatesSent } = this.#collaborators;
    let states: NodePresence[] = [];
    let users = 0;
    const send = () => {
      if (states.length === 0) return;
      this.send(node, { kind: 'states', states });
      onStatesSent(node);
      states = [];
      users = 0;
    };
    for (const room of rooms) {
      this.#counter += 1;
      const own = readOwn(room);
      states.push({ room_id: room, counter: this.#counter, ...own });
      users += own.users?.length ?? 0;
      if (states.length >= maxRoomsPerMessage || users >= maxUsersPerMessage) send();
    }
    send();
  }
}

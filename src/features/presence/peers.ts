import type { EphemeralBus } from '../../core/ephemeral.ts';
import type { RoomId } from '../../core/ids.ts';
import { type NodePresence, PeerMessage, peerTopic } from './peer-messages.ts';
import { type NodeState, type OwnState, PeerOutbox } from './peer-outbox.ts';
import { PeerWatchers } from './peer-watchers.ts';

export interface PeerTimeouts {
  /** The interval between two `alive` messages of a node. */
  aliveMs: number;
  /** A node that was silent for this long is dead. */
  deadMs: number;
  /** How long the users of a node that has shut down remain present, so that they can reconnect to another node. */
  byeMs: number;
  /** A node that has not answered is asked again after this time. */
  retryMs: number;
}

interface Collaborators {
  bus: EphemeralBus;
  /** Returns who is present in the room on this node. */
  readOwn(room: RoomId): OwnState;
  /**
   * Called if the answers of the other nodes about the room have changed, or if all nodes have answered now or no
   * longer.
   */
  onChange(room: RoomId): void;
  onPublished(): void;
  timeouts: PeerTimeouts;
}

interface Peer {
  lastSeenAt: number;
  /** Whether the peer shuts down. Messages after its `bye`, such as the state without its last users, do not prolong its life. */
  isLeaving: boolean;
  /** How many `states` of the peer have arrived. */
  received: number;
  /**
   * How many `states` the peer had sent before its previous `alive`. All of them should arrive before its next `alive`.
   */
  sentBefore: number;
  /** How many `states` this node has sent to the peer. */
  sent: number;
}

interface WatchedRoom {
  states: Map<string, NodeState>;
  /** The nodes whose state may have changed without this node's knowledge. They are asked until they answer. */
  outdated: Set<string>;
  askedAt: number;
}

/**
 * The presence on the other nodes. A node asks all others about the rooms that it watches, and they send it every later
 * change, so rooms that nobody watches cost nothing. Losses are noticed by counting, and repaired by asking again.
 */
export class Peers {
  readonly #collaborators: Collaborators;
  readonly #bus: EphemeralBus;
  readonly #peers = new Map<string, Peer>();
  readonly #watched = new Map<RoomId, WatchedRoom>();
  /** The watched rooms about which some node has not answered, or has to answer again. */
  readonly #unanswered = new Set<RoomId>();
  readonly #watchers = new PeerWatchers();
  readonly #outbox: PeerOutbox;
  /** The number of running nodes, as Redis knows it. */
  #nodeCount: number | undefined;
  #lastAliveAt = Number.NEGATIVE_INFINITY;
  readonly #timer: NodeJS.Timeout;
  readonly #unsubscribe: (() => void)[];

  constructor(collaborators: Collaborators) {
    const { bus, timeouts, readOwn, onPublished } = collaborators;
    this.#collaborators = collaborators;
    this.#bus = bus;
    this.#outbox = new PeerOutbox({
      ...{ bus, readOwn },
      onStatesSent: (node) => {
        const peer = this.#peers.get(node);
        if (peer) peer.sent += 1;
        onPublished();
      },
    });
    this.#unsubscribe = [
      bus.subscribe(peerTopic, (body, from) => {
        const message = PeerMessage.safeParse(body);
        if (message.success) this.#receive(message.data, from);
      }),
      bus.onUp(() => this.#greet()),
    ];
    this.#timer = setInterval(() => this.#tick(), Math.min(timeouts.retryMs, timeouts.aliveMs)).unref();
    if (bus.isUp) this.#greet();
  }

  isWatched(room: RoomId): boolean {
    return this.#watched.has(room);
  }

  get watchedRooms(): RoomId[] {
    return [...this.#watched.keys()];
  }

  watch(room: RoomId): void {
    if (this.#watched.has(room)) return;
    this.#watched.set(room, { states: new Map(), outdated: new Set(), askedAt: performance.now() });
    this.#unanswered.add(room);
    this.#outbox.askLater(room);
  }

  /** Sends nothing yet: a node that still sends a state of the room receives `unwatch` in reply. */
  unwatch(room: RoomId): void {
    this.#watched.delete(room);
    this.#unanswered.delete(room);
  }

  /** Whether all running nodes are reachable and have answered about a watched room. */
  isComplete(room: RoomId): boolean {
    if (!this.#bus.isUp || this.#nodeCount === undefined || this.#peers.size < this.#nodeCount - 1) return false;
    const states = this.#watched.get(room)?.states;
    return states !== undefined && [...this.#peers.keys()].every((node) => states.has(node));
  }

  listStates(room: RoomId): NodeState[] {
    return [...(this.#watched.get(room)?.states.values() ?? [])];
  }

  /** Sends the state of this node to the nodes that watch the room. */
  publish(room: RoomId): void {
    for (const node of this.#watchers.list(room)) this.#outbox.sendStateLater(node, room);
  }

  hasWatchers(room: RoomId): boolean {
    return this.#watchers.has(room);
  }

  close(): void {
    clearInterval(this.#timer);
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.#outbox.send('all', { kind: 'bye' });
    this.#bus.leaveNodes();
  }

  /**
   * Makes every node answer with `alive`. Asks all questions again, because states that were published in the meantime
   * are lost.
   */
  #greet(): void {
    this.#outbox.send('all', { kind: 'hello' });
    this.#showLife();
    this.#outbox.ask('all', this.watchedRooms);
  }

  #showLife(): void {
    this.#lastAliveAt = performance.now();
    const sent = Object.fromEntries([...this.#peers].map(([node, peer]) => [node, peer.sent]));
    this.#outbox.send('all', { kind: 'alive', sent });
    void this.#bus.countNodes(this.#collaborators.timeouts.deadMs).then((count) => {
      if (count === this.#nodeCount) return;
      this.#nodeCount = count;
      for (const room of this.#watched.keys()) this.#collaborators.onChange(room);
    });
  }

  #tick(): void {
    const { aliveMs, deadMs } = this.#collaborators.timeouts;
    const now = performance.now();
    for (const [node, { lastSeenAt }] of this.#peers) if (now - lastSeenAt > deadMs) this.#removePeer(node);
    if (!this.#bus.isUp) {
      if (this.#nodeCount === undefined) return;
      this.#nodeCount = undefined;
      for (const room of this.#watched.keys()) this.#collaborators.onChange(room);
      return;
    }
    if (now - this.#lastAliveAt >= aliveMs) this.#showLife();
    this.#askAgain(now);
  }

  /** Asks the nodes that have not answered. */
  #askAgain(now: number): void {
    const missing = new Map<string, RoomId[]>();
    for (const room of this.#unanswered) {
      const watched = this.#watched.get(room)!;
      const { states, outdated } = watched;
      const silent = [...this.#peers.keys()].filter((node) => !states.has(node) || outdated.has(node));
      if (silent.length === 0) this.#unanswered.delete(room);
      else if (now - watched.askedAt >= this.#collaborators.timeouts.retryMs) {
        watched.askedAt = now;
        for (const node of silent) missing.set(node, [...(missing.get(node) ?? []), room]);
      }
    }
    for (const [node, rooms] of missing) this.#outbox.ask(node, rooms);
  }

  #removePeer(node: string): void {
    this.#peers.delete(node);
    this.#watchers.removeNode(node);
    for (const [room, { states, outdated }] of this.#watched) {
      states.delete(node);
      outdated.delete(node);
      this.#collaborators.onChange(room);
    }
    // Makes the next `alive` due at once, because the list of nodes has probably changed, too.
    this.#lastAliveAt = Number.NEGATIVE_INFINITY;
  }

  #receive(message: PeerMessage, from: string): void {
    if (message.kind === 'bye' && !this.#peers.has(from)) return;
    const peer = this.#meet(from);
    switch (message.kind) {
      case 'hello':
        return this.#showLife();
      case 'alive':
        return this.#checkLosses(from, peer, message.sent[this.#bus.node] ?? 0);
      case 'watch':
        this.#watchers.add(from, message);
        for (const room of message.rooms) this.#outbox.sendStateLater(from, room);
        return;
      case 'unwatch':
        return this.#watchers.remove(from, message);
      case 'states':
        peer.received += 1;
        return this.#takeStates(from, message.states);
      case 'bye': {
        const { deadMs, byeMs } = this.#collaborators.timeouts;
        peer.isLeaving = true;
        peer.lastSeenAt = performance.now() - deadMs + byeMs;
        // The node is no longer in the list of nodes.
        if (this.#nodeCount !== undefined) this.#nodeCount -= 1;
      }
    }
  }

  /** Returns the peer, and adds it if it is unknown. A new peer has not received the earlier questions. */
  #meet(node: string): Peer {
    const known = this.#peers.get(node);
    if (known) {
      if (!known.isLeaving) known.lastSeenAt = Math.max(known.lastSeenAt, performance.now());
      return known;
    }
    const peer: Peer = { lastSeenAt: performance.now(), isLeaving: false, received: 0, sentBefore: 0, sent: 0 };
    this.#peers.set(node, peer);
    for (const room of this.#watched.keys()) {
      this.#unanswered.add(room);
      this.#collaborators.onChange(room);
    }
    this.#outbox.ask(node, this.watchedRooms);
    return peer;
  }

  #checkLosses(node: string, peer: Peer, sent: number): void {
    // A peer that took this node for dead counts from 0 again, and has forgotten which rooms this node watches.
    const wasForgotten = sent < peer.sentBefore;
    if (wasForgotten || peer.received < peer.sentBefore) {
      peer.received = sent;
      for (const [room, { outdated }] of this.#watched) {
        outdated.add(node);
        this.#unanswered.add(room);
      }
      this.#outbox.ask(node, this.watchedRooms);
    }
    peer.sentBefore = sent;
  }

  #takeStates(node: string, states: readonly NodePresence[]): void {
    const unwatched: RoomId[] = [];
    for (const { room_id: room, ...state } of states) {
      const watched = this.#watched.get(room);
      if (!watched) {
        unwatched.push(room);
      } else if (state.counter > (watched.states.get(node)?.counter ?? -1)) {
        watched.states.set(node, state);
        watched.outdated.delete(node);
        this.#collaborators.onChange(room);
      }
    }
    if (unwatched.length > 0) this.#outbox.unwatch(node, unwatched);
  }
}

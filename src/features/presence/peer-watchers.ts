import type { RoomId } from '../../core/ids.ts';

/** The rooms of a `watch` or `unwatch` message. */
interface Named {
  counter: number;
  rooms: readonly RoomId[];
}

/** The other nodes that watch rooms of this node. */
export class PeerWatchers {
  /** The nodes that watch a room, each with the counter of its last `watch` message. */
  readonly #byRoom = new Map<RoomId, Map<string, number>>();

  has(room: RoomId): boolean {
    return this.#byRoom.has(room);
  }

  list(room: RoomId): Iterable<string> {
    return this.#byRoom.get(room)?.keys() ?? [];
  }

  add(node: string, { counter, rooms }: Named): void {
    for (const room of rooms) {
      const nodes = this.#byRoom.get(room) ?? new Map<string, number>();
      this.#byRoom.set(room, nodes.set(node, Math.max(counter, nodes.get(node) ?? 0)));
    }
  }

  /** Ignores an `unwatch` that is older than the last `watch`: the bus is unordered. */
  remove(node: string, { counter, rooms }: Named): void {
    for (const room of rooms) {
      const since = this.#byRoom.get(room)?.get(node);
      if (since !== undefined && since <= counter) this.#removeFrom(room, node);
    }
  }

  removeNode(node: string): void {
    for (const room of this.#byRoom.keys()) this.#removeFrom(room, node);
  }

  #removeFrom(room: RoomId, node: string): void {
    const nodes = this.#byRoom.get(room)!;
    nodes.delete(node);
    if (nodes.size === 0) this.#byRoom.delete(room);
  }
}

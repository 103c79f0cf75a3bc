/** The rooms whose messages a worker wants, as changes since the last call. */
export interface RoomChanges {
  added: string[];
  removed: string[];
}

/** The rooms that each of the other workers serves. */
export class PeerRooms {
  readonly #roomsByPeer = new Map<number, Set<string>>();

  /** `undefined` means that the worker has ended. */
  update(peer: number, changes: RoomChanges | undefined): void {
    if (!changes) return void this.#roomsByPeer.delete(peer);
    const rooms = this.#roomsByPeer.get(peer) ?? new Set();
    this.#roomsByPeer.set(peer, rooms);
    applyChanges(rooms, changes);
  }

  /** Whether another worker serves the room. */
  serve(room: string): boolean {
    for (const rooms of this.#roomsByPeer.values()) if (rooms.has(room)) return true;
    return false;
  }

  /** The other workers that serve one of the rooms. */
  find(rooms: readonly string[]): number[] {
    const found: number[] = [];
    for (const [peer, served] of this.#roomsByPeer) if (rooms.some((room) => served.has(room))) found.push(peer);
    return found;
  }
}

export function applyChanges(rooms: Set<string>, { added, removed }: RoomChanges): void {
  for (const room of added) rooms.add(room);
  for (const room of removed) rooms.delete(room);
}

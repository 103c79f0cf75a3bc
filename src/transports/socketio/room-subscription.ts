import type { Actor } from '../../core/authorization.ts';
import type { RemovalCode } from '../../core/errors.ts';
import type { Member } from '../../core/feed/room-feed.ts';
import type { RoomId } from '../../core/ids.ts';
import type { Change } from '../../core/log/change.ts';

/** What a place in a room needs of the session it belongs to. */
interface Session {
  readonly actor: Actor;
  tell(change: Change): void;
  enterRoom(id: RoomId): void;
  takeOutOf(id: RoomId, code: RemovalCode): void;
  reconnect(): void;
}

/** A session's place in one room. There may be many: it is kept small. */
export class RoomMember implements Member {
  readonly #id: RoomId;
  readonly #session: Session;
  #undo: (() => void) | undefined;
  #hasLeft = false;

  constructor(id: RoomId, session: Session) {
    this.#id = id;
    this.#session = session;
  }

  get actor(): Actor {
    return this.#session.actor;
  }

  tell(change: Change): void {
    this.#session.tell(change);
  }

  enter(): void {
    this.#session.enterRoom(this.#id);
  }

  takeOut(code: RemovalCode): void {
    this.#session.takeOutOf(this.#id, code);
  }

  reconnect(): void {
    this.#session.reconnect();
  }

  /** The join is done; where it has left meanwhile, it is undone. */
  isIn(undo: () => void): void {
    if (this.#hasLeft) undo();
    else this.#undo = undo;
  }

  leave(): void {
    this.#hasLeft = true;
    this.#undo?.();
    this.#undo = undefined;
  }
}

import type { ClientRoom, RoomInfo, ServerEventPayloads } from 'nano-messaging/client';
import { Observable } from './observable.ts';
import type { Rest } from './person-rest.ts';
import { describeChange, type Rule, withChange } from './rules.ts';

/** An event of a room that is not a message. */
export interface Note {
  rev: number;
  /** The `seq` of the message before it. */
  after: number;
  text: string;
}

interface Viewer {
  id: string;
  nameOf: (id: string) => string;
  rest: Rest;
  /** Whether this room is open in the pane. */
  isVisible: (openRoom: OpenRoom) => boolean;
}

/** A room as one person sees it: the client's room, and what the page shows in addition. */
export class OpenRoom extends Observable {
  readonly id: number;
  readonly room: ClientRoom;
  notes: readonly Note[] = [];
  members: readonly Rule[] = [];
  unread = 0;
  readonly #viewer: Viewer;

  constructor(id: number, room: ClientRoom, viewer: Viewer) {
    super();
    this.id = id;
    this.room = room;
    this.#viewer = viewer;
    room.on('update', () => this.changed());
    room.on('member', (change) => this.#handleMember(change));
    room.on('room', (info) => this.#handleRoom(info));
    room.on('message', ({ emitter }) => {
      if (emitter !== viewer.id && !viewer.isVisible(this)) this.unread++;
    });
    room.on('state', (state) => {
      if (state === 'joined') void this.loadMembers({ isSilent: true });
    });
  }

  /** Joins again if the room was rejected, removed or left. */
  rejoin(): void {
    if (['rejected', 'removed', 'left'].includes(this.room.state)) this.room.rejoin();
  }

  async loadMembers(how: { isSilent?: boolean } = {}): Promise<void> {
    try {
      this.members = await this.#viewer.rest<Rule[]>('GET', `rooms/${this.id}/members`, undefined, how);
    } catch {
      // Without the right to read there is no list; the pane shows why.
    }
    this.changed();
  }

  #handleMember(change: ServerEventPayloads['member:changed']): void {
    const before = this.members.find(({ entity_UUID }) => entity_UUID === change.entity_UUID);
    this.#note(change.rev, describeChange(change, before, this.#viewer.nameOf));
    this.members = withChange(this.members, change);
  }

  #handleRoom({ name, level_admin }: RoomInfo): void {
    this.#note(
      this.room.rev,
      `The room is now called “${name}”; its organisation administers it from level ${level_admin}`,
    );
  }

  #note(rev: number, text: string): void {
    const after = this.room.messages.at(-1)?.seq ?? 0;
    this.notes = [...this.notes, { rev, after, text }];
  }
}

import type { ClientRoom, ClientThread, Message, RoomInfo, ServerEventPayloads } from 'nano-messaging-client';
import { Observable } from './observable.ts';
import type { Rest } from './person-rest.ts';
import { describeChange, type Rule, withChange } from './rules.ts';
import type { MessageActions } from './views/message-actions.ts';

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
  /** The message that the person edits or replies to. */
  draft: { kind: 'edit' | 'reply'; message: Message } | undefined;
  /** The thread that is shown instead of the room. */
  thread: ClientThread | undefined;
  actions: MessageActions;
  readonly #viewer: Viewer;

  constructor(id: number, room: ClientRoom, viewer: Viewer) {
    super();
    this.id = id;
    this.room = room;
    this.#viewer = viewer;
    room.on('change', () => this.changed());
    room.on('member', (change) => this.#handleMember(change));
    room.on('room', (info) => this.#handleRoom(info));
    room.on('message', () => this.markRead());
    this.actions = this.#createActions();
    room.on('state', (state) => {
      this.markRead();
      if (state === 'joined') void this.loadMembers({ isSilent: true });
    });
  }

  /** Joins again if the room was rejected, removed or left. */
  rejoin(): void {
    if (['rejected', 'removed', 'left'].includes(this.room.state)) this.room.rejoin();
  }

  /** Marks the messages as read if the person sees them. */
  markRead(): void {
    if (this.room.state === 'joined' && this.#viewer.isVisible(this) && document.visibilityState === 'visible')
      this.room.markRead();
  }

  setDraft(draft: OpenRoom['draft']): void {
    this.draft = draft;
    this.changed();
  }

  openThread(message: Message | undefined): void {
    this.thread?.close();
    this.thread = message && this.room.thread(message.seq);
    this.thread?.on('change', () => this.changed());
    this.actions = this.#createActions();
    this.setDraft(undefined);
  }

  /** Sends the text, or changes the message that is being edited. */
  submit(text: string): void {
    const { draft } = this;
    if (draft?.kind === 'edit') this.room.edit(draft.message.seq, text);
    else (this.thread ?? this.room).send(text, draft ? { replyTo: draft.message.seq } : {});
    this.setDraft(undefined);
  }

  #createActions(): MessageActions {
    return {
      react: ({ seq }, emoji, isAdded) => void (isAdded ? this.room.react(seq, emoji) : this.room.unreact(seq, emoji)),
      reply: (message) => this.setDraft({ kind: 'reply', message }),
      openThread: this.thread ? undefined : (message) => this.openThread(message),
      edit: (message) => this.setDraft({ kind: 'edit', message }),
      remove: ({ seq }) => void this.room.delete(seq),
    };
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

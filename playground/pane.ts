import { type Client, type ConnectionState, connect, type RoomInfo } from 'nano-messaging-client';
import { type Inbox, inbox } from 'nano-messaging-client/inbox';
import { createCuttableTransport } from './cuttable-transport.ts';
import { describeError } from './descriptions.ts';
import type { Frames } from './frames.ts';
import { Observable } from './observable.ts';
import { OpenRoom } from './open-room.ts';
import type { People, Person } from './people.ts';
import { createRest, type Rest } from './person-rest.ts';
import { isBanned, type RoomListItem, type Rule } from './rules.ts';
import { ServiceError, serviceUrl } from './service.ts';
import { getToken } from './tokens.ts';

/** The view of the current room. */
export type Tab = 'chat' | 'members' | 'code';

interface Context {
  people: People;
  frames: Frames;
  /** Called after this pane has changed something on the server that other panes may show, too. */
  onActed: () => void;
}

const silent = { isSilent: true };

/** A person with their own connection, their rooms, and the room that is open. */
export class Pane extends Observable {
  readonly name: string;
  readonly #context: Context;
  readonly #openRooms = new Map<number, OpenRoom>();
  person: Person | undefined;
  state: ConnectionState | undefined;
  rooms: readonly RoomListItem[] | undefined;
  /** Why the person cannot connect, or why the last action failed. */
  notice: string | undefined;
  current: number | undefined;
  tab: Tab = 'chat';
  isOffline = false;
  #client: Client | undefined;
  #inbox: Inbox | undefined;
  #cut = () => {};
  #online = Promise.withResolvers<void>();

  constructor(name: string, context: Context) {
    super();
    this.name = name;
    this.#context = context;
  }

  get openRoom(): OpenRoom | undefined {
    return this.current === undefined ? undefined : this.#openRooms.get(this.current);
  }

  /** How many rooms have something unread. */
  get unread(): number {
    return this.#inbox?.unreadRooms.size ?? 0;
  }

  /** Unread messages in a room; 100 means 100 or more. */
  unreadIn(id: number): number {
    return this.#inbox?.rooms.find((room) => room.id === id)?.unread ?? 0;
  }

  /** Undefined if the inbox has not loaded the room. */
  isMuted(id: number): boolean | undefined {
    return this.#inbox?.rooms.find((room) => room.id === id)?.muted;
  }

  findOpenRoom(id: number): OpenRoom | undefined {
    return this.#openRooms.get(id);
  }

  /** Also for the same person with a new token. Without a person, the pane is empty. */
  setPerson(person: Person | undefined): void {
    const again = person && person.id === this.person?.id ? this.current : undefined;
    this.#client?.close();
    this.#client = undefined;
    this.#inbox = undefined;
    this.#openRooms.clear();
    const nothing = { rooms: undefined, notice: undefined, state: undefined, current: undefined };
    Object.assign(this, { person, ...nothing, isOffline: false, tab: 'chat' });
    if (person) {
      this.#connect(person);
      if (again !== undefined) this.enter(again);
      void this.loadRooms();
    }
    this.changed();
  }

  #connect(person: Person): void {
    const { transport, cut } = createCuttableTransport();
    const client = connect({
      url: `${serviceUrl}/`,
      transports: [transport] as never,
      token: () => this.#token(person),
    });
    this.#cut = cut;
    this.#client = client;
    this.#inbox = inbox(client, { limit: 200 });
    this.#inbox.on('change', () => this.changed());
    this.state = client.state;
    client.on('state', (state) => {
      this.state = state;
      if (state === 'connected') this.notice = undefined;
      this.changed();
    });
    client.on('error', (error) => {
      // The error is expected while the person is offline.
      if (!this.isOffline) this.#showNotice(describeError(error.code === 'NO_TOKEN' ? (error.cause ?? error) : error));
    });
    client.on('frame', ({ direction, name, payload }) =>
      this.#context.frames.add('Socket.IO', person.id, direction, name, payload),
    );
  }

  async #token(person: Person): Promise<string> {
    // An offline person waits here, so that the client cannot reconnect.
    while (this.isOffline) await this.#online.promise;
    return getToken(person);
  }

  setOffline(isOffline: boolean): void {
    this.isOffline = isOffline;
    if (isOffline) {
      this.#online = Promise.withResolvers();
      this.#cut();
    } else {
      this.#online.resolve();
      this.reconnect();
      void this.loadRooms();
    }
    this.changed();
  }

  /** Skips the backoff; also tries again if the client is unauthorized. */
  reconnect(): void {
    this.#client?.connect();
    this.#showNotice(undefined);
  }

  async loadRooms(how: { isSilent?: boolean } = {}): Promise<void> {
    const { person } = this;
    if (!person || this.isOffline) return;
    try {
      const read = (path: string) => this.#rest<RoomListItem[]>('GET', path, undefined, how);
      const [open, closed] = await Promise.all([read('rooms'), read('rooms?accepted=false')]);
      if (this.person !== person) return;
      // The server does not list rooms to banned users, so rooms listed before the ban are kept here.
      const banned = this.rooms?.filter(isBanned) ?? [];
      const rooms = new Map([...banned, ...closed, ...open].map((room) => [room.id, room]));
      this.rooms = [...rooms.values()].sort((a, b) => indexIn(open, a) - indexIn(open, b));
      this.changed();
    } catch (error) {
      if (this.person !== person) return;
      this.rooms ??= [];
      this.#showNotice(describeError(error));
    }
  }

  /** Opens a room: joins it, or joins again after a removal. */
  enter(id: number): void {
    const known = this.#openRooms.get(id);
    if (known) known.rejoin();
    else this.#openRooms.set(id, this.#open(id));
    this.current = id;
    this.tab = 'chat';
    this.openRoom!.markRead();
    this.changed();
  }

  #open(id: number): OpenRoom {
    const room = this.#client!.room(id);
    const openRoom = new OpenRoom(id, room, {
      id: this.person!.id,
      nameOf: (other) => this.#context.people.nameOf(other),
      rest: this.#rest,
      isVisible: ({ id: other }) => other === this.current,
    });
    openRoom.watch(() => this.changed());
    room.on('state', (state) => {
      // The first join accepts an invitation, so the list of rooms changes.
      if (state === 'joined' && this.#findListed(id)?.accepted !== true) void this.loadRooms(silent);
      if (state === 'removed' || state === 'rejected') this.#handleExclusion(openRoom);
    });
    room.on('room', ({ name, level_admin }) => this.#updateListed(id, { name, level_admin }));
    return openRoom;
  }

  #findListed(id: number): RoomListItem | undefined {
    return this.rooms?.find((item) => item.id === id);
  }

  #updateListed(id: number, change: Partial<RoomListItem>): void {
    this.rooms = this.rooms?.map((item) => (item.id === id ? { ...item, ...change } : item));
  }

  /** The list of rooms is out of date. */
  #handleExclusion({ id, room: { removalReason, error } }: OpenRoom): void {
    if (removalReason === 'BANNED' || error?.code === 'BANNED') this.#updateListed(id, { permissions: 'b' });
    else this.rooms = this.rooms?.filter((item) => item.id !== id);
    void this.loadRooms(silent);
  }

  leaveView(): void {
    this.current = undefined;
    this.changed();
  }

  show(tab: Tab): void {
    this.tab = tab;
    if (tab === 'members') void this.openRoom?.loadMembers();
    this.changed();
  }

  dismissNotice(): void {
    this.#showNotice(undefined);
  }

  #showNotice(notice: string | undefined): void {
    this.notice = notice;
    this.changed();
  }

  /** Returns whether the action succeeded; if not, the pane shows why. */
  async #act(what: () => Promise<unknown>): Promise<boolean> {
    try {
      await what();
      this.#showNotice(undefined);
      return true;
    } catch (error) {
      this.#showNotice(describeError(error));
      return false;
    } finally {
      this.#context.onActed();
    }
  }

  createRoom(wanted: { name: string; type: 'group' | 'user2user'; with?: string; open_to_entity?: boolean }) {
    return this.#act(async () => {
      const { room } = await this.#rest<{ room: RoomInfo }>('POST', 'rooms', wanted);
      this.enter(room.id);
    });
  }

  changeRoom(id: number, change: { name?: string; level_admin?: number }): Promise<boolean> {
    return this.#act(() => this.#rest('PATCH', `rooms/${id}`, change));
  }

  deleteRoom(id: number): Promise<boolean> {
    return this.#act(() => this.#rest('DELETE', `rooms/${id}`));
  }

  putMember(id: number, { entity_UUID, kind }: Pick<Rule, 'entity_UUID' | 'kind'>, change: Partial<Rule>) {
    const grantee = { user: 'userUUID', entity: 'entityUUID', any: 'entity_UUID' }[kind];
    return this.#act(async () => {
      await this.#rest('PUT', `rooms/${id}/members`, { [grantee]: entity_UUID, ...change });
      await this.findOpenRoom(id)?.loadMembers(silent);
    });
  }

  removeMember(id: number, uuid: string): Promise<boolean> {
    return this.#act(async () => {
      await this.#rest('DELETE', `rooms/${id}/members/${uuid}`);
      if (uuid !== this.person?.id) await this.findOpenRoom(id)?.loadMembers(silent);
    });
  }

  answerInvitation(id: number, accepted: boolean): Promise<boolean> {
    return this.#act(async () => {
      await this.#rest('PUT', `rooms/${id}/invitation`, { accepted });
      if (accepted) this.enter(id);
    });
  }

  /** Sends over REST, as another program of the person would. */
  async sendOverRest(id: number, content: string): Promise<void> {
    await this.#rest('POST', `rooms/${id}/messages`, { content });
  }

  readonly #rest: Rest = async (...what) => {
    const { person } = this;
    if (!person) throw new ServiceError('NO_TOKEN', 'This pane is empty');
    if (this.isOffline) throw new ServiceError('OFFLINE', `${person.name} is offline`);
    return createRest(person, this.#context.frames)(...what);
  };
}

/** Accepted rooms keep the server's order; the others follow. */
function indexIn(open: readonly RoomListItem[], { id }: RoomListItem): number {
  const at = open.findIndex((room) => room.id === id);
  return at < 0 ? open.length : at;
}

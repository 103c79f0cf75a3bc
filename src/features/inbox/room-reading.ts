import { type Actor, authorize, type Decision } from '../../core/authorization.ts';
import type { RoomId, Uuid } from '../../core/ids.ts';
import type { InboxItem, ListedRoom, RoomListItem } from '../../core/inbox-item.ts';
import { type RoomRow, toRoomOfRow, toRuleSnapshot } from '../../core/log/room-row.ts';
import type { RuleSnapshot } from '../../core/log/room-snapshot.ts';
import type { Room } from '../../core/room.ts';
import { toIsoText } from '../../core/timestamp.ts';
import { toListItem } from '../rooms/list-item.ts';

/** A user whose item is read from the database. */
export interface Reader {
  user: Uuid;
  entity: Uuid | null;
}

type RuleRow = RoomRow['rules'][number];

/** The counts are null in a crowd, for which they are computed from the messages. */
type PersonRow = [
  /** Counted from 1, in the order of the readers. */
  n: number,
  readSeq: number,
  version: number,
  muted: boolean,
  hiddenSeq: number | null,
  unread: number | null,
  hiddenUnread: number | null,
  mentions: number | null,
  isFixed: boolean,
];

interface LastMessageRow {
  seq: number;
  emitter: Uuid;
  content: string;
  custom: string | null;
  at: number;
  updated: number;
  edited: number | null;
}

interface HeadRow extends Omit<RoomRow, 'last_rev' | 'rights_rev' | 'changed' | 'rules'> {
  active: number;
  stamp: number;
  last: LastMessageRow | null;
}

/** A row of the SQL function `inbox_items`; its migration explains the fields. */
export interface ItemRow extends HeadRow {
  since: number | null;
  is_crowd: boolean;
  rules: RuleRow[] | null;
  recent: [seq: number, emitter: Uuid][] | null;
  mentioning: [seq: number, emitter: Uuid, mentions: Uuid[] | null, mentionsRoom: boolean][] | null;
  mentions: [grantee: Uuid, seq: number, emitter: Uuid][] | null;
  people: PersonRow[] | null;
}

interface Person {
  entity: Uuid | null;
  readSeq: number;
  version: number;
  muted: boolean;
  hiddenSeq: number | null;
  unread: number | null;
  hiddenUnread: number | null;
  mentions: number | null;
  isFixed: boolean;
}

/** Unread messages are counted among this many messages. */
const windowSize = 500;
const maxCount = 100;

/** A mention of everybody is stored under this ID, in place of the ID of a user or organisation. */
const everybody = '00000000-0000-0000-0000-000000000000';

/** A consistent snapshot of a room, of the rules of its readers, and of what they have read. */
export class RoomReading {
  readonly id: RoomId;
  /** Whether the reading has the newest messages, so a later reading can build on it. */
  readonly isCrowd: boolean;
  #head!: HeadRow;
  #room!: Room;
  #activeAt!: string;
  #lastMessage!: InboxItem['last_message'];
  readonly #rules = new Map<Uuid, RuleSnapshot>();
  readonly #people = new Map<Uuid, Person>();
  /** The `seq` of the newest messages that count. */
  #recent: number[] = [];
  /** The same by emitter. */
  readonly #sentBy = new Map<Uuid, number[]>();
  /** The newest messages that mention a reader or their organisation. */
  readonly #mentions = new Map<Uuid, { seq: number; emitter: Uuid }[]>();

  constructor(row: ItemRow, readers: readonly Reader[]) {
    this.id = row.id;
    this.isCrowd = row.is_crowd;
    this.update(row, readers);
  }

  get stamp(): number {
    return this.#head.stamp;
  }

  get lastSeq(): number {
    return this.#head.last_seq;
  }

  /** The number of readers that were ever read. */
  get size(): number {
    return this.#people.size;
  }

  /** Returns the version of the reader's position, or null if the next reading has to read everything about them. */
  getVersion({ user, entity }: Reader): number | null {
    const person = this.#people.get(user);
    return person?.isFixed && person.entity === entity ? person.version : null;
  }

  /** Brings the reading up to date with a row that has only what was added since. */
  update(row: ItemRow, readers: readonly Reader[]): void {
    const { rules, recent, mentioning, mentions, people } = row;
    this.#head = row;
    this.#room = toRoomOfRow(row);
    this.#activeAt = toIsoText(row.active);
    this.#lastMessage = row.last && toLastMessage(row.last);
    for (const rule of rules ?? []) this.#rules.set(rule.entity_UUID, toRuleSnapshot(rule));
    this.#addRecent(recent ?? []);
    for (const message of mentioning ?? []) this.#addMention(message);
    if (this.isCrowd) this.#addGrantees(readers, mentions ?? []);
    for (const [n, readSeq, version, muted, hiddenSeq, unread, hiddenUnread, mentions, isFixed] of people ?? []) {
      const { user, entity } = readers[n - 1]!;
      this.#people.set(user, {
        ...{ entity, readSeq, version, muted, hiddenSeq, isFixed },
        ...{ unread, hiddenUnread, mentions },
      });
    }
  }

  #addRecent(recent: NonNullable<ItemRow['recent']>): void {
    for (const [seq, emitter] of recent) {
      this.#recent.push(seq);
      const own = this.#sentBy.get(emitter);
      if (own) own.push(seq);
      else this.#sentBy.set(emitter, [seq]);
    }
    if (this.#recent.length <= 2 * windowSize) return;
    this.#recent = this.#recent.slice(-windowSize);
    for (const [emitter, seqs] of this.#sentBy) {
      const kept = seqs.filter((seq) => seq >= this.#recent[0]!);
      if (kept.length > 0) this.#sentBy.set(emitter, kept);
      else this.#sentBy.delete(emitter);
    }
  }

  #addMention([seq, emitter, named, mentionsRoom]: NonNullable<ItemRow['mentioning']>[number]): void {
    for (const grantee of [...(named ?? []), ...(mentionsRoom ? [everybody] : [])]) {
      const all = this.#mentions.get(grantee);
      all?.push({ seq, emitter });
      if (all && all.length > 2 * maxCount) all.splice(0, maxCount);
    }
  }

  /** Takes the mentions of the readers about whom nothing was known. Those of the others were added one by one. */
  #addGrantees(readers: readonly Reader[], mentions: NonNullable<ItemRow['mentions']>): void {
    const added = readers.filter((reader) => this.getVersion(reader) === null);
    if (added.length === 0) return;
    for (const grantee of [...added.flatMap(({ user, entity }) => [user, entity ?? user]), everybody])
      this.#mentions.set(grantee, []);
    for (const [grantee, seq, emitter] of mentions) this.#mentions.get(grantee)!.push({ seq, emitter });
  }

  /** Whether the room still concerns the grantee, because of a rule or because they own it. */
  concerns(grantee: Uuid): boolean {
    return this.#rules.has(grantee) || this.#head.entity_owner === grantee;
  }

  decide(actor: Actor): Decision {
    return authorize(actor, this.#room, this.#findRules(actor));
  }

  /** Returns undefined if the actor cannot read the room. */
  toItem(actor: Actor): InboxItem | undefined {
    if (!this.decide(actor).rights.includes('r')) return undefined;
    const listed = this.#toListItem(actor);
    return listed && { ...listed, ...this.#toInboxFields(actor) };
  }

  /** Like `toItem`, but for lists of rooms. These also contain rooms that the actor can enter, but not read. */
  toListed(actor: Actor): ListedRoom | undefined {
    return this.toItem(actor) ?? this.#toListItem(actor);
  }

  #toListItem(actor: Actor): RoomListItem | undefined {
    return toListItem({ room: this.#room, rules: this.#findRules(actor) }, actor, undefined);
  }

  #findRules({ user, entity }: Actor): RuleSnapshot[] {
    const grantees = entity === null || entity === user ? [user] : [user, entity];
    return grantees.flatMap((grantee) => this.#rules.get(grantee) ?? []);
  }

  #toInboxFields({ user }: Actor): Omit<InboxItem, keyof RoomListItem> {
    const person = this.#people.get(user)!;
    const { readSeq, version, muted, hiddenSeq } = person;
    const addedAt = this.#rules.get(user)?.createdAt ?? '';
    return {
      activityAt: addedAt > this.#activeAt ? addedAt : this.#activeAt,
      read_seq: readSeq,
      version,
      unread: person.unread ?? this.#countUnread(user, readSeq),
      unread_mentions: person.mentions ?? this.#countMentions(person, user),
      muted,
      hidden: hiddenSeq !== null && (person.hiddenUnread ?? this.#countUnread(user, hiddenSeq)) === 0,
      last_message: this.#lastMessage,
    };
  }

  /** Counts in the same way as the SQL function `unread_after`. */
  #countUnread(user: Uuid, after: number): number {
    if (this.lastSeq - after > windowSize) return maxCount;
    const own = this.#sentBy.get(user);
    return Math.min(countAfter(this.#recent, after) - (own ? countAfter(own, after) : 0), maxCount);
  }

  /** Counts in the same way as the SQL function `mentions_after`. */
  #countMentions({ entity, readSeq }: Person, user: Uuid): number {
    const seqs = new Set<number>();
    for (const grantee of [user, entity, everybody]) {
      for (const { seq, emitter } of this.#mentions.get(grantee ?? '') ?? []) {
        if (seq > readSeq && emitter !== user) seqs.add(seq);
      }
    }
    return Math.min(seqs.size, maxCount);
  }
}

/** Counts the numbers above `limit` in a list that ascends. */
function countAfter(ascending: readonly number[], limit: number): number {
  let [low, high] = [0, ascending.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ascending[middle]! > limit) high = middle;
    else low = middle + 1;
  }
  return ascending.length - low;
}

function toLastMessage({ seq, emitter, content, custom, at, updated, edited }: LastMessageRow) {
  return {
    ...{ seq, emitter, content },
    ...(custom !== null && { custom: JSON.parse(custom) as Record<string, unknown> }),
    createdAt: toIsoText(at),
    updatedAt: toIsoText(updated),
    ...(edited !== null && { editedAt: toIsoText(edited) }),
  };
}

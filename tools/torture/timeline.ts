import type { Message, ReactionCount, ReactionDelta, Replies, Root } from '../../src/core/log/message.ts';
import { mineText, reactionsText, repliesText, type TimelineMessage, versionText } from './record.ts';

/** A change with the fields of its event. */
export interface TimelineChange {
  rev: number;
  name: string;
  seq?: number | undefined;
  message?: Message | undefined;
  root?: Root | undefined;
  reactions?: readonly ReactionCount[] | undefined;
  changes?: readonly ReactionDelta[] | undefined;
}

interface Known {
  /** Undefined as long as the client has seen only reactions to it. */
  message: Message | undefined;
  reactions: readonly ReactionCount[];
  mine: Set<string>;
  /** The `rev` that the reactions belong to. */
  reactionsRev: number;
  /** The `rev` of the latest answer that said which reactions are the client's own. */
  ownRev: number;
  replies: Replies | undefined;
  repliesRev: number;
  /** The client's own reactions that were announced, with their `rev`. */
  ownDeltas: (ReactionDelta & { rev: number })[];
}

/**
 * The messages of a room in one client. It implements the rules by which clients merge what they receive: the greater
 * version of a message wins, and the greater `rev` of its reactions and replies.
 */
export class Timeline {
  readonly #user: string;
  readonly #messages = new Map<number, Known>();
  /** The first `seq` from which on the client has every message; undefined as long as it has no page. */
  floor: number | undefined;

  constructor(user: string) {
    this.#user = user;
  }

  /** The newest messages that the client may change, newest first. */
  recent(count: number): Message[] {
    const known = [...this.#messages.values()].flatMap(({ message }) => message ?? []);
    return known
      .filter(({ deletedAt }) => !deletedAt)
      .sort((a, b) => b.seq - a.seq)
      .slice(0, count);
  }

  hasReacted(seq: number, emoji: string): boolean {
    return this.#messages.get(seq)?.mine.has(emoji) ?? false;
  }

  /** A page of one moment. A change that arrived before it, but was committed later, stays. */
  addPage(messages: readonly Message[], rev: number, hasMore: boolean, lastSeq: number): void {
    for (const message of messages) this.#mergeAnswer(message, rev);
    const first = messages[0]?.seq ?? lastSeq + 1;
    this.floor = Math.min(this.floor ?? Number.POSITIVE_INFINITY, hasMore ? first : 1);
  }

  /** A message in an answer that contains every change up to `rev`. */
  addAnswer(message: Message, rev: number): void {
    this.#mergeAnswer(message, rev);
  }

  /** The reactions in the answer to a reaction of the client. */
  addReactions(seq: number, reactions: readonly ReactionCount[], rev: number): void {
    this.#setReactions(this.#know(seq), reactions, rev, reactions);
  }

  /**
   * A change as it was announced. `isAnswer`: it is a missed change in the acknowledgement of a join, which is made for
   * this client.
   */
  apply(change: TimelineChange, isAnswer: boolean): void {
    const { rev, name, message, root, changes = [] } = change;
    const own = changes.filter(({ user }) => user === this.#user).map((delta) => ({ ...delta, rev }));
    if (name === 'reaction:changed') {
      const known = this.#know(change.seq!);
      known.ownDeltas.push(...own);
      if (rev > known.reactionsRev) this.#announceReactions(known, change.reactions!, rev, own);
    } else if (message) {
      const known = this.#know(message.seq);
      known.ownDeltas.push(...own);
      this.#mergeMessage(known, message);
      // A missed change contains the present state: later entries of the message are skipped.
      if (name === 'message:new' || message.reactions) {
        if (isAnswer) this.#overwriteReactions(known, message.reactions ?? [], rev);
        else this.#announceReactions(known, message.reactions ?? [], rev, own);
      }
      if (message.replies) Object.assign(known, { replies: message.replies, repliesRev: rev });
    }
    if (root) Object.assign(this.#know(root.seq), { replies: root.replies, repliesRev: rev });
  }

  /** The state for the comparison with the database. */
  toFinal(): Map<number, TimelineMessage> {
    const messages = new Map<number, TimelineMessage>();
    for (const [seq, { message, reactions, mine, replies }] of this.#messages) {
      if (!message) continue;
      const text = versionText(message);
      const state = message.deletedAt ? { reactions: '', mine: '' } : { reactions: reactionsText(reactions) };
      messages.set(seq, {
        ...{ version: message.version, text, mine: mineText(mine), replies: repliesText(replies), ...state },
      });
    }
    return messages;
  }

  #know(seq: number): Known {
    const known = this.#messages.get(seq);
    if (known) return known;
    const created: Known = {
      ...{ message: undefined, reactions: [], mine: new Set<string>(), reactionsRev: 0, ownRev: 0 },
      ...{ replies: undefined, repliesRev: 0, ownDeltas: [] },
    };
    this.#messages.set(seq, created);
    return created;
  }

  #mergeMessage(known: Known, message: Message): void {
    if (message.version > (known.message?.version ?? 0)) known.message = message;
  }

  #mergeAnswer(message: Message, rev: number): void {
    const known = this.#know(message.seq);
    this.#mergeMessage(known, message);
    this.#setReactions(known, message.reactions ?? [], rev, message.reactions ?? []);
    if (rev >= known.repliesRev) Object.assign(known, { replies: message.replies, repliesRev: rev });
  }

  #setReactions(known: Known, reactions: readonly ReactionCount[], rev: number, own: readonly ReactionCount[]): void {
    if (rev >= known.reactionsRev) Object.assign(known, { reactions, reactionsRev: rev });
    // A page may arrive after the acknowledgement of a reaction that it does not contain yet.
    if (rev < known.ownRev) return;
    known.ownRev = rev;
    known.mine = new Set(own.filter(({ mine }) => mine).map(({ emoji }) => emoji));
    toggle(
      known.mine,
      known.ownDeltas.filter((delta) => delta.rev > rev),
    );
  }

  #overwriteReactions(known: Known, reactions: readonly ReactionCount[], rev: number): void {
    known.mine = new Set(reactions.filter(({ mine }) => mine).map(({ emoji }) => emoji));
    Object.assign(known, { reactions, reactionsRev: rev });
  }

  /** An announcement is the same for all clients, so it does not say which reactions are the client's own. */
  #announceReactions(
    known: Known,
    reactions: readonly ReactionCount[],
    rev: number,
    own: readonly ReactionDelta[],
  ): void {
    toggle(known.mine, own);
    const present = new Set(reactions.map(({ emoji }) => emoji));
    known.mine = new Set([...known.mine].filter((emoji) => present.has(emoji)));
    Object.assign(known, { reactions, reactionsRev: rev });
  }
}

function toggle(mine: Set<string>, deltas: readonly ReactionDelta[]): void {
  for (const { emoji, added } of deltas) {
    if (added) mine.add(emoji);
    else mine.delete(emoji);
  }
}

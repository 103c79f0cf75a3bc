import type { Report } from './oracle.ts';
import type { Evidence, Operation } from './record.ts';
import type { RightsOverTime } from './rights-over-time.ts';
import { type Entry, findTokens, mineOf, type RoomHistory } from './room-history.ts';

/** The entries that made the versions of each message, oldest first. */
type Versions = Map<number, Entry[]>;

export function listVersions({ entries }: RoomHistory): Versions {
  const versions: Versions = new Map();
  for (const entry of entries) {
    if (!['message', 'edit', 'deletion'].includes(entry.kind)) continue;
    versions.set(entry.seq!, [...(versions.get(entry.seq!) ?? []), entry]);
  }
  return versions;
}

const isDone = ({ outcome }: Operation) => outcome?.is === 'done';
const mayBeStored = ({ outcome, attempts }: Operation) => outcome?.is !== 'refused' || attempts > 1;

/** Checks that acknowledged operations are in the log, and that the log has no operation that nobody sent. */
export function checkOperations(operations: Operation[], { room, entries }: RoomHistory, report: Report): void {
  const byRev = new Map(entries.map((entry) => [entry.rev, entry]));
  const sent = new Set(operations.filter(mayBeStored).map(toKey));
  for (const { client, seq, kind, user, emoji, added, outcome } of operations) {
    if (outcome?.is !== 'done' || !outcome.changed) continue;
    const { rev } = outcome;
    const entry = byRev.get(rev);
    const what = `${client} in room ${room}: the ${kind} of seq ${seq}, acknowledged as rev ${rev}`;
    // The acknowledgement of several deletions has the `rev` of the last.
    const isStored =
      kind === 'edit'
        ? entry?.kind === 'edit' && entry.seq === seq
        : kind === 'delete'
          ? entry?.kind === 'deletion' && entry.seq === seq
          : entry?.kind === 'reactions' && entry.seq === seq;
    if (!isStored) report('lost', `${what}, is not stored`);
    else if (kind === 'react' && entry!.changes!.length > 0) {
      const isListed = entry!.changes!.some(
        (delta) => delta.user === user && delta.emoji === emoji && delta.added === added,
      );
      if (!isListed) report('lost', `${what}, is not among its changes`);
    }
  }
  for (const { rev, seq, kind, actor, changes = [] } of entries) {
    const keys =
      kind === 'edit' || kind === 'deletion'
        ? [toKey({ seq: seq!, user: actor!, kind: kind === 'edit' ? 'edit' : 'delete' })]
        : changes.map(({ user, emoji, added }) => toKey({ seq: seq!, user, kind: 'react', emoji, added }));
    for (const key of keys) if (!sent.has(key)) report('log', `room ${room}: nobody asked for rev ${rev}, ${key}`);
  }
}

const toKey = ({ seq, user, kind, emoji = '', added }: Pick<Operation, 'seq' | 'user' | 'kind' | 'emoji' | 'added'>) =>
  `${kind} of seq ${seq} by ${user}${added === undefined ? '' : ` ${added ? '+' : '-'}${emoji}`}`;

/**
 * Checks that all copies of a version are equal, and that its text is what the sender or the editor sent. A version that
 * nobody acknowledged may have the text of any edit that was not refused.
 */
export function checkValues({ sent, operations, ...seen }: Evidence, history: RoomHistory, report: Report): void {
  const { room, messages } = history;
  const versions = listVersions(history);
  const sentContents = new Map(sent.map(({ user, clientMsgId, content }) => [`${user} ${clientMsgId}`, content]));
  const edits = Map.groupBy(
    operations.filter(({ kind }) => kind === 'edit'),
    ({ seq }) => seq,
  );
  const texts = new Map<string, { text: string; who: string }>();
  for (const [seq, { version, text }] of messages) texts.set(`${seq} ${version}`, { text, who: 'the database' });

  function check(seq: number, version: number, text: string, who: string): void {
    const first = texts.get(`${seq} ${version}`);
    if (first) {
      if (first.text === text) return;
      return report(
        'altered',
        `room ${room}: ${who} has version ${version} of seq ${seq} as ${text}, ${first.who} as ${first.text}`,
      );
    }
    texts.set(`${seq} ${version}`, { text, who });
    const known = versions.get(seq)?.some(({ rev }) => rev === version);
    if (!known) report('altered', `room ${room}: ${who} has version ${version} of seq ${seq}, which is not in the log`);
  }

  for (const { client, room: of, applied } of seen.subscriptions) {
    if (of !== room) continue;
    for (const { seq, version, text } of applied) if (version !== undefined) check(seq!, version, text, client);
  }
  for (const [name, deliveries] of seen.consumers) {
    for (const { changes } of deliveries) {
      for (const { room: of, seq, version, text } of changes) {
        if (of === room && version !== undefined) check(seq!, version, text, `the ${name}`);
      }
    }
  }
  for (const { client, room: of, seq, version, text, what } of seen.answers) {
    if (of === room) check(seq, version, text, `${client} (${what})`);
  }
  for (const [seq, entries] of versions) {
    const [{ message: origin }] = entries as [Entry];
    for (const { rev, kind } of entries) {
      const copy = texts.get(`${seq} ${rev}`);
      if (!copy) continue;
      const { content } = JSON.parse(copy.text) as { content: string };
      const candidates = edits.get(seq) ?? [];
      const acknowledged = candidates.find(
        ({ outcome }) => outcome?.is === 'done' && outcome.changed && outcome.rev === rev,
      );
      const allowed =
        kind === 'deletion'
          ? ['']
          : kind === 'message'
            ? [sentContents.get(`${origin?.emitter} ${origin?.clientMsgId}`)]
            : acknowledged
              ? [acknowledged.content]
              : candidates.filter(mayBeStored).map((edit) => edit.content);
      if (!allowed.includes(content)) {
        report(
          'altered',
          `room ${room}: version ${rev} of seq ${seq} (${kind}) has the text ${content}, not ${allowed.join(' or ')}`,
        );
      }
    }
  }
}

/**
 * Checks that no answer to a request has a version older than one that was acknowledged before the request. `tokens` are
 * the texts in all tables: only those of the present messages may be there.
 */
export function checkErasure(evidence: Evidence, history: RoomHistory, report: Report): void {
  const { room } = history;
  const versions = listVersions(history);
  const acknowledged = new Map<number, { at: number; version: number }[]>();
  for (const { room: of, seq, kind, outcome } of evidence.operations) {
    if (of !== room || outcome?.is !== 'done' || kind === 'react') continue;
    const deletion = versions.get(seq)?.find((entry) => entry.kind === 'deletion');
    const version = kind === 'delete' ? deletion?.rev : outcome.changed ? outcome.rev : outcome.version;
    if (version === undefined) continue;
    acknowledged.set(seq, [...(acknowledged.get(seq) ?? []), { at: outcome.at, version }]);
  }
  const check = (seq: number, version: number, askedAt: number, who: string) => {
    const newest = (acknowledged.get(seq) ?? [])
      .filter(({ at }) => at < askedAt)
      .reduce((max, one) => Math.max(max, one.version), 0);
    if (version < newest) {
      report(
        'leaked',
        `room ${room}: ${who} was answered with version ${version} of seq ${seq}, after version ${newest} was acknowledged`,
      );
    }
  };
  for (const { client, room: of, seq, version, askedAt, what } of evidence.answers) {
    if (of === room) check(seq, version, askedAt, `${client} (${what})`);
  }
  for (const { client, room: of, askedAt, applied } of evidence.subscriptions) {
    if (of !== room) continue;
    for (const { seq, version, live } of applied)
      if (version !== undefined && !live) check(seq!, version, askedAt, `${client} (missed changes)`);
  }
  for (const { rev, seq, changes = [] } of history.entries) {
    if (changes.length > 0 && history.messages.get(seq!)?.isDeleted) {
      report('leaked', `room ${room}: rev ${rev} still lists the reactions to seq ${seq}, which was deleted`);
    }
  }
}

/** Checks that the tables contain only the texts of the present messages. */
export function checkTokens(tokens: Map<string, Set<string>>, histories: RoomHistory[], report: Report): void {
  const present = new Set(
    histories.flatMap(({ messages }) => [...messages.values()].flatMap(({ text }) => findTokens(text))),
  );
  for (const [token, tables] of tokens) {
    if (!present.has(token)) report('leaked', `the wiped text [${token}] is still in ${[...tables].join(', ')}`);
  }
}

/** Checks that the base of each acknowledged edit is the version before the edit. */
export function checkBases(operations: Operation[], history: RoomHistory, report: Report): void {
  const versions = listVersions(history);
  for (const { client, seq, base, outcome } of operations) {
    if (base === undefined || outcome?.is !== 'done' || !outcome.changed) continue;
    const before = versions.get(seq)?.findLast(({ rev }) => rev < outcome.rev)?.rev;
    if (before === base) continue;
    report(
      'log',
      `${client} in room ${history.room}: the edit of seq ${seq} from version ${base} became ${outcome.rev}, after ${before}`,
    );
  }
}

/** Checks that the actor of each entry had the right at the `rev` before it. The tool's own writes need none. */
export function checkRights(
  { users, owner }: Evidence,
  history: RoomHistory,
  rights: RightsOverTime,
  report: Report,
): void {
  const { room, entries } = history;
  const emitters = new Map(entries.flatMap(({ seq, message }) => (message ? [[seq!, message.emitter] as const] : [])));
  for (const { rev, kind, seq, actor, changes = [], message } of entries) {
    const emitter = emitters.get(seq!);
    const before = rev - 1;
    if (message && users.has(message.emitter) && !rights.canWrite(message.emitter, before)) {
      report('leaked', `room ${room}: rev ${rev} was written by ${message.emitter}, who had no w`);
    }
    if (kind === 'edit' && !(actor === emitter && rights.canWrite(actor!, before))) {
      report('leaked', `room ${room}: rev ${rev} is an edit by ${actor}, who had no right to it`);
    }
    if (kind === 'deletion' && actor !== owner && !(actor === emitter && rights.canRead(actor!, before))) {
      report('leaked', `room ${room}: rev ${rev} is a deletion by ${actor}, who had no right to it`);
    }
    for (const { user } of changes) {
      if (!rights.canWrite(user, before))
        report('leaked', `room ${room}: rev ${rev} has a reaction of ${user}, who had no w`);
    }
  }
}

/** Replays the reactions from the log, and compares the result with the tables. */
export function checkReactions({ room, entries, messages }: RoomHistory, report: Report): void {
  const replayed = new Map<number, Map<string, Set<string>>>();
  for (const { rev, kind, seq, changes = [] } of entries) {
    if (kind !== 'reactions') continue;
    const reactions = replayed.get(seq!) ?? new Map<string, Set<string>>();
    replayed.set(seq!, reactions);
    for (const { user, emoji, added } of changes) {
      const users = reactions.get(emoji) ?? new Set();
      reactions.set(emoji, users);
      if (users.has(user) === added) {
        report('log', `room ${room}: rev ${rev} ${added ? 'adds' : 'removes'} ${emoji} of ${user} a second time`);
      }
      if (added) users.add(user);
      else users.delete(user);
      if (users.size === 0) reactions.delete(emoji);
    }
  }
  const format = (reactors: Map<string, Set<string>>) =>
    [...reactors].map(([emoji, users]) => `${emoji} ${[...users].sort().join(' ')}`).join(', ');
  for (const [seq, { reactors, reactions, isDeleted }] of messages) {
    const fromLog = isDeleted ? new Map<string, Set<string>>() : (replayed.get(seq) ?? new Map<string, Set<string>>());
    const counts = [...fromLog].map(([emoji, users]) => `${emoji}${users.size}`).join(' ');
    if (format(fromLog) !== format(reactors)) {
      report(
        'log',
        `room ${room}: seq ${seq} has the reactions ${format(reactors)}, according to the log ${format(fromLog)}`,
      );
    } else if (counts !== reactions) {
      report('log', `room ${room}: seq ${seq} has the counts ${reactions}, according to the log ${counts}`);
    }
  }
}

/** Compares the timelines of the clients at the end with the database. */
export function checkTimelines(
  { timelines }: Evidence,
  { room, lastSeq, messages }: RoomHistory,
  report: Report,
): void {
  for (const { client, user, room: of, floor, hasTombstones, messages: known } of timelines) {
    if (of !== room) continue;
    for (let seq = floor; seq <= lastSeq; seq++) {
      const has = known.get(seq);
      const stored = messages.get(seq);
      if (!stored) continue;
      if (!has && stored.isDeleted && !hasTombstones) continue;
      if (!has) {
        report('lost', `${client} in room ${room}: the timeline lacks seq ${seq}`);
        continue;
      }
      const expected = { ...stored, mine: mineOf(stored, user) };
      for (const field of ['version', 'text', 'reactions', 'mine', 'replies'] as const) {
        if (has[field] === expected[field]) continue;
        report(
          'altered',
          `${client} in room ${room}: the timeline has ${field} ${has[field]} of seq ${seq}, the database ${expected[field]}`,
        );
      }
    }
  }
}

export const countDone = (operations: Operation[], kind: Operation['kind']): number =>
  operations.filter((operation) => operation.kind === kind && isDone(operation)).length;

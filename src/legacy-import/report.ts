/** What ends an import with one line and without a stack: nothing was written. */
export class ImportError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'ImportError';
  }
}

/** The first line that says something; a connection to several addresses fails with one error for each. */
export function formatReason(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return formatReason(error.errors[0]);
  const message = error instanceof Error ? error.message : String(error);
  return message.split('\n', 1)[0]!;
}

/** The parts of the report, in its order. */
export const findingParts = {
  left_out: 'Not taken over',
  altered: 'Taken over, but not as it was',
  kept: 'Left as it is here',
  to_know: 'To know',
} as const;

type Part = keyof typeof findingParts;

/** Everything that an import may have to say. `docs/guides/migrating.md` explains each by these very words. */
export const findings = {
  room_number: ['left_out', 'rooms whose id is not a whole number from 1 on'],
  rule_room: ['left_out', 'rules of rooms that there are not'],
  rule_grantee: ['left_out', 'rules whose entity_UUID is not a UUID'],
  rule_letters: ['left_out', 'rules with none of the letters r, w, a, b'],
  rule_organisation: ['left_out', "rules of the organisation in user2user rooms, which are its two users' alone"],
  rule_third: ['left_out', 'rules of a third user in a user2user room'],
  rule_pair: ['left_out', 'rules that would make a second user2user room of the same two users'],
  rule_pair_ban: ['left_out', 'later bans in user2user rooms, where neither of the two may ban the other'],
  message_room: ['left_out', 'messages of rooms that there are not'],
  message_content: ['left_out', 'messages without content'],
  message_before: ['left_out', 'messages that an earlier import has left out'],

  room_uuid: ['altered', 'rooms without a UUID of their own have been given one'],
  room_name: ['altered', 'rooms without a name, or with one of more than 255 characters'],
  room_type: ['altered', 'rooms of an unknown type are groups'],
  room_level: ['altered', 'rooms whose level_admin is none: 100, or 0 where it was below'],
  room_rules: ['altered', 'rooms with more rules than they may have: max_entity_rules is raised'],
  room_owner_rule: ['altered', 'rooms that nobody administered: the user owner has been given a rule'],
  room_more_than_two: ['altered', 'user2user rooms that do not fit two users are private groups'],
  room_same_two: ['altered', 'further user2user rooms of the same two users are private groups'],
  rule_dropped_letters: ['altered', 'rules without their letters other than r, w, a, b'],
  rule_level: ['altered', 'rules whose level is none have level 0'],
  rule_twice: ['altered', 'rules for one UUID in one room have become one'],
  message_emitter: [
    'altered',
    'messages without an emitter that is a UUID are of 00000000-0000-0000-0000-000000000000',
  ],
  message_date: ['altered', 'messages whose date is none, in the future, or before the message they follow'],

  room_deleted: ['kept', 'rooms that were deleted here stay deleted'],
  room_gone: ['kept', 'rooms that the original has no more'],
  rule_changed: ['kept', 'rules that have changed in the original and here, too'],
  rule_last: ['kept', 'rules that have changed in the original and are the last to administer their room'],

  room_owner: [
    'to_know',
    'rooms of which no rule tells who made them: user_owner is 00000000-0000-0000-0000-000000000000',
  ],
  room_closed: ['to_know', 'rooms that nobody can enter: no rule grants anything, and no organisation owns them'],
  rule_entity_works: [
    'to_know',
    "rules of the room's own organisation, which the original did not enforce and this service does",
  ],
  rule_ban_works: ['to_know', 'bans, which the original did not enforce and this service does'],
  rule_write_only: ['to_know', 'rules with w and without r: who has no other does not hear the room any more'],
  message_long: ['to_know', 'messages longer than MAX_CONTENT_BYTES, taken over whole'],
} as const satisfies Record<string, readonly [Part, string]>;

export type Finding = keyof typeof findings;

const maxNames = 5;

/** Counts what is found, and keeps the names of the first. */
export class Findings {
  readonly #found = new Map<Finding, { count: number; named: string[] }>();

  add(finding: Finding, name: string, count = 1): void {
    const found = this.#found.get(finding) ?? { count: 0, named: [] };
    this.#found.set(finding, found);
    found.count += count;
    if (found.named.length < maxNames) found.named.push(name);
  }

  count(finding: Finding): number {
    return this.#found.get(finding)?.count ?? 0;
  }

  /** The lines of the report. */
  formatLines(): string[] {
    const lines: string[] = [];
    for (const [part, title] of Object.entries(findingParts)) {
      const all = (Object.keys(findings) as Finding[]).filter((name) => findings[name][0] === part);
      const found = all.filter((name) => this.#found.has(name));
      if (found.length === 0) continue;
      lines.push('', `${title}:`);
      for (const name of found) {
        const { count, named } = this.#found.get(name)!;
        lines.push(`  ${count.toLocaleString('en')} ${findings[name][1]}`);
        for (const one of named) lines.push(`      ${one}`);
        if (count > named.length && named.length === maxNames) lines.push('      …');
      }
    }
    return lines;
  }
}

export interface ImportResult {
  findings: Findings;
  rooms: { known: number; added: number };
  rules: { added: number; changed: number };
  messages: number;
}

interface ReportOptions {
  from: string;
  to: string;
  isDryRun: boolean;
}

const formatNumber = (n: number) => n.toLocaleString('en');

/** What was taken over, and all that is to be said of it. */
export function formatReport(
  { findings, rooms, rules, messages }: ImportResult,
  { from, to, isDryRun }: ReportOptions,
): string {
  const changed = rules.changed > 0 ? `, ${formatNumber(rules.changed)} changed in rooms from before` : '';
  return [
    isDryRun ? `A dry run: nothing was written. From ${from} to ${to} would come` : `From ${from} to ${to} have come`,
    `  ${formatNumber(rooms.added)} rooms; ${formatNumber(rooms.known)} were here from before`,
    `  ${formatNumber(rules.added)} rules${changed}`,
    `  ${formatNumber(messages)} messages`,
    ...findings.formatLines(),
  ].join('\n');
}

/** An expected failure of an import. The command prints only its message, without a stack trace. */
export class ImportError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'ImportError';
  }
}

/**
 * Returns the first line of an error message. If a host name has several addresses, a failed connection is reported as
 * an `AggregateError` with one error per address; only the first of these errors is used.
 */
export function formatReason(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return formatReason(error.errors[0]);
  const message = error instanceof Error ? error.message : String(error);
  return message.split('\n', 1)[0]!;
}

/** The titles of the report's parts, in the order of the report. */
export const findingParts = {
  left_out: 'Not imported',
  altered: 'Imported with changes',
  kept: 'Not changed in this service',
  to_know: 'Good to know',
} as const;

type Part = keyof typeof findingParts;

/** All findings that a report can contain. `docs/guides/migrating.md` lists each finding with the same text. */
export const findings = {
  room_number: ['left_out', 'rooms whose id is not a positive integer'],
  rule_room: ['left_out', 'rules of rooms that do not exist'],
  rule_grantee: ['left_out', 'rules whose entity_UUID is not a UUID'],
  rule_letters: ['left_out', 'rules with none of the letters r, w, a, b'],
  rule_organisation: ['left_out', 'rules of the organisation in user2user rooms, which only their two users can enter'],
  rule_third: ['left_out', 'rules of a third user in a user2user room'],
  rule_pair: ['left_out', 'rules that would make a second user2user room of the same two users'],
  rule_pair_ban: ['left_out', 'later bans in user2user rooms, where neither user can ban the other'],
  message_room: ['left_out', 'messages of rooms that do not exist'],
  message_content: ['left_out', 'messages without content'],
  message_before: ['left_out', 'messages that an earlier import skipped'],

  room_uuid: ['altered', 'rooms without a UUID, or with the UUID of another room, received a new one'],
  room_name: ['altered', 'rooms without a name, or with a name of more than 255 characters'],
  room_type: ['altered', 'rooms of an unknown type became groups'],
  room_level: ['altered', 'rooms with an invalid level_admin: now 100, or 0 if it was negative'],
  room_rules: ['altered', 'rooms with more rules than their limit: max_entity_rules was raised'],
  room_owner_rule: ['altered', 'rooms without an administrator: the user owner received the permissions rwa'],
  room_more_than_two: ['altered', 'user2user rooms that do not fit two users became private groups'],
  room_same_two: ['altered', 'further user2user rooms of the same two users became private groups'],
  rule_dropped_letters: ['altered', 'rules with letters other than r, w, a, b, which were dropped'],
  rule_level: ['altered', 'rules with an invalid level: now 0'],
  rule_twice: ['altered', 'rules for the same UUID in the same room, merged into one'],
  message_emitter: ['altered', 'messages whose emitter is not a UUID: now 00000000-0000-0000-0000-000000000000'],
  message_date: ['altered', 'messages whose date is missing, in the future, or before the previous message'],

  room_deleted: ['kept', 'rooms that were deleted in this service: they stay deleted'],
  room_gone: ['kept', 'rooms that no longer exist in the legacy service'],
  rule_changed: ['kept', 'rules that were changed in the legacy service and in this service'],
  rule_last: [
    'kept',
    'rules that make a user the last administrator of a room, but were changed in the legacy service',
  ],

  room_owner: ['to_know', 'rooms whose creator is unknown: user_owner is 00000000-0000-0000-0000-000000000000'],
  room_closed: ['to_know', 'rooms that nobody can enter: no rule grants access, and no organisation owns them'],
  rule_entity_works: [
    'to_know',
    "rules of the room's own organisation: the legacy service ignored them, this service enforces them",
  ],
  rule_ban_works: ['to_know', 'bans: the legacy service ignored them, this service enforces them'],
  rule_write_only: ['to_know', 'rules with w but without r: users without another rule no longer receive messages'],
  message_long: ['to_know', 'messages longer than MAX_CONTENT_BYTES, imported in full'],
} as const satisfies Record<string, readonly [Part, string]>;

export type Finding = keyof typeof findings;

const maxNames = 5;

/** Counts the findings. For each finding, the first few rooms, rules or messages are named in the report. */
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

  formatLines(): string[] {
    const lines: string[] = [];
    for (const [part, title] of Object.entries(findingParts)) {
      const all = (Object.keys(findings) as Finding[]).filter((name) => findings[name][0] === part);
      const found = all.filter((name) => this.#found.has(name));
      if (found.length === 0) continue;
      lines.push('', `${title}:`);
      for (const finding of found) {
        const { count, named } = this.#found.get(finding)!;
        lines.push(`  ${count.toLocaleString('en')} ${findings[finding][1]}`);
        for (const name of named) lines.push(`      ${name}`);
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

/** Formats the report: the totals of the import, and then its findings. */
export function formatReport(
  { findings, rooms, rules, messages }: ImportResult,
  { from, to, isDryRun }: ReportOptions,
): string {
  const changed = rules.changed > 0 ? `, ${formatNumber(rules.changed)} changed in rooms from earlier imports` : '';
  return [
    isDryRun
      ? `Dry run, nothing was written. An import from ${from} to ${to} would add:`
      : `Imported from ${from} to ${to}:`,
    `  ${formatNumber(rooms.added)} rooms; ${formatNumber(rooms.known)} were imported earlier`,
    `  ${formatNumber(rules.added)} rules${changed}`,
    `  ${formatNumber(messages)} messages`,
    ...findings.formatLines(),
  ].join('\n');
}

import type { RoomInfo, ServerEventPayloads } from 'nano-messaging-client';
import { describeRights } from './descriptions.ts';

type MemberChange = ServerEventPayloads['member:changed'];

/** A permission rule, as REST lists it. */
export type Rule = Pick<MemberChange, 'entity_UUID' | 'kind' | 'level' | 'accepted' | 'declined'> & {
  permissions: string;
};

/** A room in a person's list, with the rule that admits or bans them. */
export type RoomListItem = RoomInfo & Rule;

export const isBanned = ({ permissions }: Rule) => permissions.includes('b');

/** Sorts the letters as `rwab`. */
export const sortLetters = (letters: Iterable<string>) => [...'rwab'].filter((l) => [...letters].includes(l)).join('');

/** Applies the change of a rule; the order of the rules stays. */
export function withChange(rules: readonly Rule[], change: MemberChange): Rule[] {
  const { permissions } = change;
  if (permissions === null) return rules.filter(({ entity_UUID }) => entity_UUID !== change.entity_UUID);
  const rule = { ...change, permissions };
  const isKnown = rules.some(({ entity_UUID }) => entity_UUID === change.entity_UUID);
  if (!isKnown) return [...rules, rule];
  return rules.map((known) => (known.entity_UUID === change.entity_UUID ? rule : known));
}

/** Describes the change in a sentence. `before` is the previous rule, if it is known. */
export function describeChange(change: MemberChange, before: Rule | undefined, nameOf: (id: string) => string): string {
  const name = nameOf(change.entity_UUID);
  const { permissions } = change;
  if (permissions === null) return `${name} is no longer a member`;
  const may = `may ${describeRights(permissions)}`;
  if (permissions.includes('b')) return `${name} was banned`;
  if (!before) return `${name} was invited and ${may}`;
  if (isBanned(before)) return `${name} was unbanned and ${may}`;
  if (change.declined && !before.declined) return `${name} declined`;
  if (change.accepted && !before.accepted) return `${name} accepted the invitation`;
  if (before.level !== change.level) return `${name} ${may}, from level ${change.level}`;
  return `${name} now ${may}`;
}

import type { RoomInfo, ServerEventPayloads } from 'nano-messaging/client';
import { rightsInWords } from './words.ts';

type MemberChange = ServerEventPayloads['member:changed'];

/** A permission rule, as REST lists it. */
export type Rule = Pick<MemberChange, 'entity_UUID' | 'kind' | 'level' | 'accepted' | 'declined'> & {
  permissions: string;
};

/** A room of somebody's list, with the rule that lets him in or keeps him out. */
export type RoomListItem = RoomInfo & Rule;

export const isBanned = ({ permissions }: Rule) => permissions.includes('b');

/** `rwab`, in that order. */
export const lettersOf = (letters: Iterable<string>) => [...'rwab'].filter((l) => [...letters].includes(l)).join('');

/** The rules after a change of one of them; those who came first stay first. */
export function withChange(rules: readonly Rule[], change: MemberChange): Rule[] {
  const { permissions } = change;
  if (permissions === null) return rules.filter(({ entity_UUID }) => entity_UUID !== change.entity_UUID);
  const rule = { ...change, permissions };
  const isKnown = rules.some(({ entity_UUID }) => entity_UUID === change.entity_UUID);
  if (!isKnown) return [...rules, rule];
  return rules.map((known) => (known.entity_UUID === change.entity_UUID ? rule : known));
}

/** What happened, in a sentence; `before` is the rule as it was, where that is known. */
export function changeInWords(change: MemberChange, before: Rule | undefined, nameOf: (id: string) => string): string {
  const name = nameOf(change.entity_UUID);
  const { permissions } = change;
  if (permissions === null) return `${name} is no longer a member`;
  const may = `may ${rightsInWords(permissions)}`;
  if (permissions.includes('b')) return `${name} was banned`;
  if (!before) return `${name} was invited and ${may}`;
  if (isBanned(before)) return `${name} is let in again and ${may}`;
  if (change.declined && !before.declined) return `${name} declined`;
  if (change.accepted && !before.accepted) return `${name} accepted the invitation`;
  if (before.level !== change.level) return `${name} ${may}, from level ${change.level}`;
  return `${name} now ${may}`;
}

import { expect } from 'chai';
import { type AdministrativeAction, determinePower, findDenial } from '../../../src/core/administration.ts';
import { type Actor, authorize, type RoomOwnership, type Rule } from '../../../src/core/authorization.ts';

const ids = {
  owner: '00000000-0000-0000-0000-00000000000a',
  other: '00000000-0000-0000-0000-00000000000b',
  admin: '00000000-0000-0000-0000-00000000000c',
  org: '00000000-0000-0000-0000-00000000000e',
  elsewhere: '00000000-0000-0000-0000-00000000000f',
};
type Id = keyof typeof ids;

/** `owner:rwa`, `org/any:b`, `admin:rwa!declined` as a rule. */
function rule(text: string): Rule {
  const [, who, kind, permissions, declined] = /^(\w+)(?:\/(user|entity|any))?:([rwab]+)(!declined)?$/.exec(text)!;
  return {
    entity_UUID: ids[who as Id],
    kind: (kind ?? (who === 'org' || who === 'elsewhere' ? 'entity' : 'user')) as Rule['kind'],
    permissions: permissions!,
    level: 0,
    accepted: declined ? false : null,
  };
}

/** `owner@org:150` is the user owner, at level 150 of the organisation that owns the room. */
function actor(text: string): Actor {
  const [, user, entity, level] = /^(\w+)(?:@(\w+))?(?::(\d+))?$/.exec(text)!;
  return { user: ids[user as Id], entity: ids[entity as Id] ?? null, level: Number(level ?? 0), mayCreateRooms: false };
}

const actionNames = [
  'rename',
  'delete',
  'change max_entity_rules',
  'change level_admin',
  'change rule',
  'leave',
  'answer',
];

/**
 * `change rule admin:rw > admin:r` changes a rule, `change rule > admin:r` adds one, `leave admin:rw >` removes one.
 */
function action(text: string): AdministrativeAction {
  const name = actionNames.find((known) => text.startsWith(known))!;
  const rest = text.slice(name.length);
  if (name === 'change level_admin') return { name, to: Number(rest) };
  const [before, after] = rest.split('>').map((part) => (part.trim() ? rule(part.trim()) : undefined));
  return { name, before, after } as AdministrativeAction;
}

const rooms = {
  group: { type: 'group', user_owner: ids.owner, entity_owner: ids.org, level_admin: 100 },
  private: { type: 'group', user_owner: ids.owner, entity_owner: null, level_admin: 100 },
  pair: { type: 'user2user', user_owner: ids.owner, entity_owner: null, level_admin: 100 },
} as const satisfies Record<string, RoomOwnership>;

const defaultRules = ['owner:rwa', 'admin:rwa', 'other:rw', 'org:rw'];
const defaultPairRules = ['owner:rwa', 'other:rwa'];

/** `rules` defaults to `defaultRules`, or to `defaultPairRules` for the room of a pair. */
const table: [who: string, room: keyof typeof rooms, action: string, decision: string, rules?: string[]][] = [
  ['other', 'group', 'rename', 'FORBIDDEN'],
  ['elsewhere', 'group', 'rename', 'NOT_FOUND'],
  ['admin', 'group', 'rename', 'FORBIDDEN', ['owner:rwa', 'admin:rwa!declined']],
  ['admin', 'group', 'rename', 'BANNED', ['owner:rwa', 'admin:rwab']],
  ['admin', 'group', 'rename', 'allowed'],

  ['other', 'group', 'delete', 'FORBIDDEN'],
  ['admin', 'group', 'delete', 'FORBIDDEN'],
  ['owner', 'group', 'delete', 'allowed'],
  ['admin@org:100', 'group', 'delete', 'allowed'],
  ['other@org:99', 'group', 'delete', 'FORBIDDEN'],
  ['admin', 'private', 'delete', 'FORBIDDEN'],
  ['admin', 'private', 'delete', 'allowed', ['admin:rwa', 'other:rw']],
  ['admin', 'private', 'delete', 'allowed', ['owner:rwa!declined', 'admin:rwa']],
  ['admin', 'group', 'delete', 'FORBIDDEN', ['admin:rwa']],
  ['other', 'pair', 'delete', 'allowed'],
  ['other', 'pair', 'delete', 'FORBIDDEN', ['owner:rwa', 'other:r']],

  ['admin', 'group', 'change max_entity_rules', 'FORBIDDEN'],
  ['owner', 'group', 'change max_entity_rules', 'allowed'],
  ['admin@org:100', 'group', 'change max_entity_rules', 'allowed'],
  ['admin', 'private', 'change max_entity_rules', 'allowed', ['admin:rwa']],

  ['other@org:99', 'group', 'change level_admin 1', 'FORBIDDEN'],
  ['admin', 'group', 'change level_admin 2147483647', 'FORBIDDEN'],
  ['admin', 'group', 'change level_admin 0', 'FORBIDDEN'],
  ['admin@elsewhere:9999', 'group', 'change level_admin 1', 'FORBIDDEN'],
  ['other@org:150', 'group', 'change level_admin 150', 'allowed'],
  ['other@org:150', 'group', 'change level_admin 151', 'FORBIDDEN'],
  ['other@org:150', 'group', 'change level_admin 0', 'allowed'],
  ['owner@org:50', 'group', 'change level_admin 50', 'allowed'],
  ['owner@org:50', 'group', 'change level_admin 51', 'FORBIDDEN'],
  ['owner@elsewhere:500', 'group', 'change level_admin 50', 'FORBIDDEN'],
  ['owner', 'group', 'change level_admin 0', 'FORBIDDEN'],
  ['owner', 'private', 'change level_admin 500', 'allowed'],
  ['admin', 'private', 'change level_admin 500', 'FORBIDDEN'],

  ['other', 'group', 'change rule > elsewhere:r', 'FORBIDDEN'],
  ['admin', 'group', 'change rule > elsewhere:rwa', 'allowed'],
  ['admin', 'group', 'change rule other:rw > other:b', 'allowed'],
  ['admin', 'group', 'change rule owner:rwa > owner:a', 'allowed'],
  ['admin', 'group', 'change rule owner:rwa > owner:rw', 'FORBIDDEN'],
  ['admin', 'group', 'change rule owner:rwa > owner:rwab', 'FORBIDDEN'],
  ['admin', 'group', 'change rule owner:rwa > owner/entity:rwa', 'FORBIDDEN'],
  ['admin', 'group', 'change rule owner:rwa >', 'FORBIDDEN'],
  ['admin', 'group', 'change rule > owner:b', 'FORBIDDEN', ['admin:rwa']],
  ['admin', 'group', 'change rule > owner:r', 'allowed', ['admin:rwa']],
  ['admin', 'group', 'change rule owner:rwa!declined >', 'FORBIDDEN', ['owner:rwa!declined', 'admin:rwa']],
  ['admin', 'group', 'change rule owner:rw > owner:r', 'allowed', ['owner:rw', 'admin:rwa']],
  ['admin', 'group', 'change rule > elsewhere:b', 'allowed'],
  ['admin', 'group', 'change rule org:rw > org:b', 'allowed'],
  ['other@org:100', 'group', 'change rule owner:rwa > owner:b', 'allowed'],
  ['owner', 'group', 'change rule owner:rwa > owner:r', 'allowed'],
  ['owner', 'group', 'change rule owner:rwa > owner:r', 'LAST_ADMIN', ['owner:rwa', 'other:rw']],
  ['owner', 'group', 'change rule admin:rwa > admin:b', 'allowed'],
  ['other@org:100', 'group', 'change rule owner:rwa > owner:r', 'LAST_ADMIN', ['owner:rwa']],
  ['admin', 'group', 'change rule other:rwa >', 'allowed', ['owner:rwa', 'admin:rwa', 'other:rwa']],
  ['owner@elsewhere', 'private', 'change rule > elsewhere:b', 'allowed', ['owner:rwa']],
  ['admin@elsewhere', 'private', 'change rule > elsewhere:b', 'LAST_ADMIN', ['admin:rwa']],
  ['admin@elsewhere', 'private', 'change rule > elsewhere:b', 'allowed', ['admin:rwa', 'other:a']],

  ['other', 'group', 'leave other:rw >', 'allowed'],
  ['owner', 'group', 'leave owner:rwa >', 'allowed'],
  ['owner', 'group', 'leave owner:rwa >', 'LAST_ADMIN', ['owner:rwa', 'admin:rwa!declined']],
  ['owner', 'group', 'answer owner:rwa > owner:rwa!declined', 'LAST_ADMIN', ['owner:rwa', 'admin:rwab']],
  ['other', 'group', 'answer other:rw > other:rw!declined', 'allowed'],

  ['owner', 'pair', 'change rule other:rw > other:r', 'FORBIDDEN', ['owner:rwa', 'other:rw']],
  ['owner', 'pair', 'change rule other:r > other:rw', 'allowed', ['owner:rwa', 'other:r']],
  ['owner', 'pair', 'change rule other:r > other:rb', 'FORBIDDEN', ['owner:rwa', 'other:r']],
  ['owner', 'pair', 'change rule other:rwa >', 'FORBIDDEN'],
  ['other', 'pair', 'change rule owner:rwa > owner:r', 'FORBIDDEN'],
  ['owner', 'pair', 'change rule > other:r', 'allowed', ['owner:rwa']],
  ['other', 'pair', 'change rule owner:rw > owner:rwa', 'FORBIDDEN', ['owner:rw', 'other:rw']],
];

describe('administration', () => {
  for (const [who, room, text, decision, rules = room === 'pair' ? defaultPairRules : defaultRules] of table) {
    it(`decides ${decision} on the action "${text}" of ${who} in a ${room} room with ${rules.join(' ')}`, () => {
      const denial = findDenial(actor(who), rooms[room], rules.map(rule), action(text));
      expect(denial?.code ?? 'allowed').to.equal(decision);
    });
  }

  const ranks: [who: string, room: keyof typeof rooms, power: string][] = [
    ['other@org:100', 'group', 'owner administrator'],
    ['owner@org:100', 'group', 'owner administrator'],
    ['owner@org:99', 'group', 'user owner'],
    ['owner@elsewhere:500', 'group', 'user owner'],
    ['admin', 'group', 'administrator'],
    ['other', 'group', 'none'],
    ['owner', 'private', 'user owner'],
    ['admin@org:500', 'private', 'administrator'],
  ];
  for (const [who, room, power] of ranks) {
    it(`determines the power of ${who} in a ${room} room as ${power}`, () => {
      expect(determinePower(actor(who), rooms[room], defaultRules.map(rule))).to.equal(power);
    });
  }

  it('determines the power of a user owner without a rule as none', () => {
    expect(determinePower(actor('owner'), rooms.group, [rule('admin:rwa')])).to.equal('none');
  });

  for (const ban of ['elsewhere:b', 'elsewhere/any:b', 'org:rwb']) {
    it(`leaves the user owner their rights if ${ban} bans their organisation`, () => {
      const [, entity] = /^(\w+)/.exec(ban)!;
      const rules = ['owner:rwa', ban].map(rule);
      expect(authorize(actor(`owner@${entity}`), rooms.group, rules).rights).to.equal('rwa');
      expect(authorize(actor(`other@${entity}`), rooms.group, rules).denialReason).to.equal('BANNED');
    });
  }

  it('bans the user owner if a rule names them', () => {
    const both = { ...actor('owner'), entity: ids.owner };
    expect(authorize(both, rooms.group, ['owner/any:b'].map(rule)).denialReason).to.equal('BANNED');
  });
});

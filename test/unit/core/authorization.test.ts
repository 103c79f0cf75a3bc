import { expect } from 'chai';
import {
  type Actor,
  authorize,
  matchRule,
  type RoomOwnership,
  type Rule,
  toDenialCode,
} from '../../../src/core/authorization.ts';

const user = '00000000-0000-0000-0000-00000000000a';
const entity = '00000000-0000-0000-0000-00000000000e';
const stranger = '00000000-0000-0000-0000-0000000000ff';

const group: RoomOwnership = { type: 'group', user_owner: stranger, entity_owner: null, level_admin: 100 };
const owned: RoomOwnership = { ...group, entity_owner: entity };
const pair: RoomOwnership = { ...group, type: 'user2user' };

const actor = (level = 0): Actor => ({ user, entity, level, mayCreateRooms: false });

/** `user:rw`, `entity@50:r`, `any-of-user:rb!declined` … as a rule. */
function rule(text: string): Rule {
  const [, who, kind, level, permissions, answer] =
    /^(user|entity|stranger)(?:\/(user|entity|any))?(?:@(-?\d+))?:([rwab]*)(!declined|!accepted)?$/.exec(text)!;
  return {
    entity_UUID: { user, entity, stranger }[who as 'user'],
    kind: (kind ?? (who === 'entity' ? 'entity' : 'user')) as Rule['kind'],
    permissions: permissions!,
    level: Number(level ?? 0),
    accepted: answer === '!declined' ? false : answer === '!accepted' ? true : null,
  };
}

const table: [
  what: string,
  room: RoomOwnership,
  level: number,
  rules: string[],
  rights: string,
  denialReason: string | null,
][] = [
  ['nothing without a rule', group, 100, [], '', 'RULE_REMOVED'],
  ['nothing by rules of others', group, 100, ['stranger:rwa'], '', 'RULE_REMOVED'],
  ['read by r', group, 0, ['user:r'], 'r', null],
  ['write without read by w', group, 0, ['user:w'], 'w', 'NO_READ'],
  ['everything by a alone', group, 0, ['user:a'], 'rwa', null],
  ['the letters of a rule that is not answered yet', group, 0, ['user:rw'], 'rw', null],
  ['the letters of an accepted rule', group, 0, ['user:rw!accepted'], 'rw', null],
  ['nothing by a declined rule', group, 0, ['user:rwa!declined'], '', 'DECLINED'],
  ['the letters of a user rule, whatever its level', group, 0, ['user@999999:rw'], 'rw', null],
  ["nothing by the entity's rule below its level", group, 49, ['entity@50:rw'], '', 'LEVEL_TOO_LOW'],
  ["the letters of the entity's rule from its level on", group, 50, ['entity@50:rw'], 'rw', null],
  ['the sum of own and entity rule', group, 50, ['user:r', 'entity@50:w'], 'rw', null],
  ['only the own letters below the entity rule', group, 49, ['user:r', 'entity@50:w'], 'r', null],
  ['nothing if a ban is beside a grant', group, 100, ['user:rwa', 'entity:b'], '', 'BANNED'],
  ['nothing if a grant is beside a ban', group, 100, ['user:b', 'entity:rwa'], '', 'BANNED'],
  ['nothing if the same rule bans', group, 0, ['user:rwb'], '', 'BANNED'],
  ['nothing by a ban of the organisation, whatever the level', group, 0, ['user:rw', 'entity@100:b'], '', 'BANNED'],
  ['nothing by a ban, even if it is declined', group, 0, ['user:b!declined', 'entity:rw'], '', 'BANNED'],
  [
    'the letters of the organisation if the own rule is declined',
    group,
    0,
    ['user:rw!declined', 'entity:r'],
    'r',
    null,
  ],
  ['the letters of a rule of kind any to a user', group, 0, ['user/any@100:rw'], 'rw', null],
  [
    'the letters of a rule of kind any to an organisation, from its level on',
    group,
    100,
    ['entity/any@100:rw'],
    'rw',
    null,
  ],
  ['nothing by kind any as an organisation below its level', group, 99, ['entity/any@100:rw'], '', 'LEVEL_TOO_LOW'],
  ['nothing by a user rule that names the organisation', group, 100, ['entity/user:rw'], '', 'RULE_REMOVED'],
  ['nothing by an entity rule that names the user', group, 100, ['user/entity:rw'], '', 'RULE_REMOVED'],
  ['everything as owner administrator', owned, 100, [], 'rwa', null],
  ['everything as owner administrator, despite a ban', owned, 100, ['user:b', 'entity:b'], 'rwa', null],
  ['nothing as member of the owning organisation below level_admin', owned, 99, [], '', 'RULE_REMOVED'],
  ['nothing to a banned user below level_admin', owned, 99, ['user:b'], '', 'BANNED'],
  [
    'nothing by a rule of the organisation in a user2user room',
    pair,
    100,
    ['entity:rwa', 'entity/any:rwa'],
    '',
    'RULE_REMOVED',
  ],
  [
    'nothing as owner administrator in a user2user room',
    { ...pair, entity_owner: entity },
    100,
    [],
    '',
    'RULE_REMOVED',
  ],
  ['the letters of a user rule in a user2user room', pair, 0, ['user:rw'], 'rw', null],
];

describe('authorize', () => {
  for (const [what, room, level, rules, rights, denialReason] of table) {
    it(`grants ${what}`, () => {
      expect(authorize(actor(level), room, rules.map(rule))).to.deep.equal({ rights, denialReason });
    });
  }

  it('grants the same rights for every order of the rules', () => {
    for (const [, room, level, rules] of table) {
      const forwards = authorize(actor(level), room, rules.map(rule));
      expect(authorize(actor(level), room, rules.map(rule).reverse())).to.deep.equal(forwards);
    }
  });

  it('grants an actor without an organisation the letters of user rules only', () => {
    const alone = { ...actor(100), entity: null };
    expect(authorize(alone, owned, ['entity:rwa', 'user:r'].map(rule)).rights).to.equal('r');
  });

  it('matches the kind of the rule if user and organisation have the same UUID', () => {
    const both = { ...actor(0), entity: user };
    expect(matchRule(rule('user:rw'), both, group)).to.equal('user');
    expect(matchRule(rule('user/entity:rw'), both, group)).to.equal('entity');
  });
});

describe('toDenialCode', () => {
  it('returns the denial code NOT_FOUND if no rule applies, BANNED for a ban, and FORBIDDEN otherwise', () => {
    const codes = [[], ['user:b'], ['user:rw!declined'], ['entity@50:rw'], ['user:w']].map((rules) =>
      toDenialCode(authorize(actor(), group, rules.map(rule))),
    );
    expect(codes).to.deep.equal(['NOT_FOUND', 'BANNED', 'FORBIDDEN', 'FORBIDDEN', 'FORBIDDEN']);
  });
});

import { z } from 'zod';
import { Level, NonNilUuid, Uuid } from '../../core/ids.ts';
import { withKnownKeys } from '../../core/parse.ts';
import { Permissions, type RuleKind } from '../../core/room.ts';

/** A rule as the backend wants it to be. */
export interface WantedRule {
  grantee: Uuid;
  /** Undefined if the grantee may be a user or an entity. */
  kind: Exclude<RuleKind, 'any'> | undefined;
  /** null removes the rule. */
  permissions: string | null | undefined;
  level: number | undefined;
  accepted: boolean | null | undefined;
}

export const maxRulesPerCall = 1_000;

export const WantedRule = z
  .object(
    {
      userUUID: Uuid.optional().describe('A user: the rule is of kind `user`.'),
      entityUUID: Uuid.optional().describe('An entity: the rule is of kind `entity`.'),
      entity_UUID: Uuid.optional().describe('A user or an entity: a new rule is of kind `any`.'),
      permissions: Permissions.nullish().describe('Letters of `rwab`; required for a new rule. null removes the rule.'),
      level: Level.optional().describe('Of an entity, only members from this level on. 0 by default for a new rule.'),
      accepted: z
        .boolean({ error: 'must be true, false or null' })
        .nullish()
        .describe('true: accepted. false: declined. null: unanswered, which a new rule is by default.'),
    },
    { error: 'must be a JSON object' },
  )
  .transform(({ userUUID, entityUUID, entity_UUID, ...rule }, context): WantedRule => {
    const named = [userUUID, entityUUID, entity_UUID].filter((uuid) => uuid !== undefined);
    if (named.length !== 1) {
      const message = 'exactly one of userUUID, entityUUID and entity_UUID is required';
      context.addIssue({ code: 'custom', path: ['userUUID'], message });
      return z.NEVER;
    }
    const { permissions, level, accepted } = rule;
    // Removing stays possible, because earlier versions stored such rules.
    const allowed = permissions === null ? Uuid : NonNilUuid;
    const checked = allowed.safeParse(named[0]);
    if (!checked.success) {
      const field = userUUID ? 'userUUID' : entityUUID ? 'entityUUID' : 'entity_UUID';
      context.addIssue({ code: 'custom', path: [field], message: checked.error.issues[0]!.message });
      return z.NEVER;
    }
    const kind = userUUID ? 'user' : entityUUID ? 'entity' : undefined;
    return { grantee: named[0]!, kind, permissions, level, accepted };
  })
  .meta({
    id: 'WantedRule',
    oneOf: [{ required: ['userUUID'] }, { required: ['entityUUID'] }, { required: ['entity_UUID'] }],
  });

const tooMany = `must be a list of at most ${maxRulesPerCall} rules`;

export const RuleList = z
  .array(withKnownKeys(WantedRule), { error: tooMany })
  .max(maxRulesPerCall, tooMany)
  .superRefine((rules, context) => {
    const seen = new Set<Uuid>();
    for (const [n, { grantee }] of rules.entries()) {
      if (seen.has(grantee)) {
        context.addIssue({ code: 'custom', path: [n], message: `is the second rule of ${grantee} in the list` });
      }
      seen.add(grantee);
    }
  });

import { ChatError } from '../../core/errors.ts';
import type { AppContext } from '../app-context.ts';

/** Throws if the requested `max_entity_rules` exceeds `MAX_RULES_PER_ROOM` or is less than the number of rules. */
export function assertRuleLimit({ settings: { maxRulesPerRoom } }: AppContext, requested: number, ruleCount = 0): void {
  const field = 'max_entity_rules';
  if (maxRulesPerRoom > 0 && requested > maxRulesPerRoom) {
    throw new ChatError('BAD_REQUEST', {
      field,
      message: `must be at most ${maxRulesPerRoom}, the MAX_RULES_PER_ROOM of the server`,
    });
  }
  if (requested < ruleCount) {
    throw new ChatError('BAD_REQUEST', {
      field,
      message: `must be at least ${ruleCount}, the number of rules of the room`,
    });
  }
}

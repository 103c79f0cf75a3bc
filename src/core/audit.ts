import type { Actor, Rule } from './authorization.ts';
import type { RoomId, Uuid } from './ids.ts';

/** What somebody with power over others has done, as the operator's log has it. Never a token, a name or a content. */
export type AuditEvent = 'member banned' | 'member unbanned' | 'level_admin changed' | 'room deleted';

export interface AuditFields {
  room_id: RoomId;
  /** Who did it, and for which entity they were signed in. */
  actor: Uuid;
  actor_entity: Uuid | null;
  [field: string]: unknown;
}

/** Called after the commit. It never throws. */
export type Audit = (event: AuditEvent, fields: AuditFields) => void;

export const toAuditFields = (room_id: RoomId, { user, entity }: Actor): AuditFields => ({
  room_id,
  actor: user,
  actor_entity: entity,
});

const isBan = (rule: Pick<Rule, 'permissions'> | undefined) => rule?.permissions.includes('b') ?? false;

/** A rule that bans, bans no more, or does what it did before. */
export function findBanEvent(
  before: Pick<Rule, 'permissions'> | undefined,
  after: Pick<Rule, 'permissions'> | undefined,
): AuditEvent | undefined {
  if (isBan(before) === isBan(after)) return undefined;
  return isBan(after) ? 'member banned' : 'member unbanned';
}

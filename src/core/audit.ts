import type { Author, Rule } from './authorization.ts';
import type { RoomId, RoomRef, Uuid } from './ids.ts';

export interface AuditFields {
  room_id: RoomId;
  /** The user who performed the action; null for the backend. `actor_entity` is the organisation in their token. */
  actor: Uuid | null;
  actor_entity: Uuid | null;
  [field: string]: unknown;
}

/** A call of the product's backend. */
export interface AdminCall {
  /**
   * Which `ADMIN_TOKEN` the backend used: the first characters of its SHA-256 hash. `in process` if the program that
   * embeds the service called a function.
   */
  token: string;
  address?: string | undefined;
  /** The name of the operation in the OpenAPI document; `unknown` if no route matches. */
  operation: string;
  /** The room as the call named it. */
  room?: RoomRef | undefined;
  status: number | 'aborted';
}

/**
 * The audit log records administrative actions of users and of the product's backend. Its fields never contain a token,
 * a name or the content of a message.
 */
interface AuditEvents {
  'admin call': AdminCall;
  'member banned': AuditFields;
  'member unbanned': AuditFields;
  'level_admin changed': AuditFields;
  'room deleted': AuditFields;
  /** The fields do not contain the `jti`, because it is a part of the token. */
  'tokens revoked': { revocation: number; userUUID: Uuid | null; issued_before: number | null; created: boolean };
  'revocation lifted': { revocation: number };
  'webhook changed': { webhook: string; [field: string]: unknown };
  'webhook deleted': { webhook: string };
}

export type AuditEvent = keyof AuditEvents;

/** Use cases call this function after the commit. It never throws. */
export type Audit = <E extends AuditEvent>(event: E, fields: AuditEvents[E]) => void;

export const toAuditFields = (room_id: RoomId, { user, entity }: Author): AuditFields => ({
  room_id,
  actor: user,
  actor_entity: entity,
});

const isBan = (rule: Pick<Rule, 'permissions'> | undefined) => rule?.permissions.includes('b') ?? false;

/** Returns undefined if the change from `before` to `after` neither bans nor unbans the grantee. */
export function findBanEvent(
  before: Pick<Rule, 'permissions'> | undefined,
  after: Pick<Rule, 'permissions'> | undefined,
): 'member banned' | 'member unbanned' | undefined {
  if (isBan(before) === isBan(after)) return undefined;
  return isBan(after) ? 'member banned' : 'member unbanned';
}

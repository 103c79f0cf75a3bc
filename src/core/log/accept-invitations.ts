import { ms } from '../../database/epoch-ms.ts';
import type { Store } from '../../database/store.ts';
import type { RoomId, Uuid } from '../ids.ts';

/** An unanswered invitation whose grantee may read the room, according to the rules as of `rightsRev`. */
export interface Invitation {
  room_id: RoomId;
  grantee: Uuid;
  /** The grantee's organisation. Rules for it also affect the grantee's rights. */
  entity: Uuid | null;
  rightsRev: number;
}

export type AcceptResult =
  | { outcome: 'accepted'; rev: number; at: number }
  /** The invitation or the grantee's rights may have changed. The caller has to authorize again. */
  | { outcome: 'changed' }
  /** Another transaction keeps the room locked. The caller has to retry later. */
  | { outcome: 'busy' };

const acceptInvitationsStatement = {
  name: 'accept_invitations',
  writesJournal: true,
  text: `select o_outcome as outcome, o_rev::float8 as rev, ${ms('o_at')} as at
    from accept_invitations($1::bigint[], $2::uuid[], $3::uuid[], $4::bigint[])`,
};

/**
 * Accepts the invitations in one transaction. No two of them may have the same room and grantee. The results are in the
 * order of the invitations.
 */
export function acceptInvitations(store: Store, invitations: readonly Invitation[]): Promise<AcceptResult[]> {
  return store.query<AcceptResult>(acceptInvitationsStatement, [
    invitations.map(({ room_id }) => room_id),
    invitations.map(({ grantee }) => grantee),
    invitations.map(({ entity }) => entity),
    invitations.map(({ rightsRev }) => rightsRev),
  ]);
}

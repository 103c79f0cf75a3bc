import { Migration } from '@mikro-orm/migrations';
import { createAcceptInvitations } from './functions/accept-invitations.ts';

/**
 * `accept_invitations` accepts a batch of invitations in one statement. The caller passes, for each invitation, the
 * `rights_rev` at which its grantee was authorized. Under the lock of the room, the function checks that the authorization
 * is still valid: the log must have no later change of the room itself, and none that names the grantee or their
 * organisation (`p_entity`). If it has such a change, the outcome is `changed`, and nothing is written. Invitations that
 * others accept do not matter, so a thousand members can join a room at once.
 *
 * Rooms are locked in the order of their ids. If another transaction keeps a room locked for more than a short time, the
 * outcome is `busy`. A batch must not contain the same room and grantee twice. The function is written in PL/pgSQL, so that
 * reads under the lock see what was committed during the wait for the lock. Like `append_straight`, it always uses the
 * indexes, and its plans are made once per connection.
 */
export class Migration20261128023000_accept_invitations extends Migration {
  override name = 'Migration20261128023000_accept_invitations';

  override up(): void {
    this.addSql(createAcceptInvitations());
  }

  override down(): void {
    this.addSql('drop function accept_invitations(bigint[], uuid[], uuid[], bigint[]);');
  }
}

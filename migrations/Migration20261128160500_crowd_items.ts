import { Migration } from '@mikro-orm/migrations';
import { inboxItems } from './functions/inbox-items.ts';

/**
 * Makes the items of a room with many open inboxes cheaper. A second form of `inbox_items` reads only what is new since
 * the node has last read the room:
 *
 * | parameter | what the node knows |
 * | --- | --- |
 * | `p_known_seqs` | the `last_seq` of its previous reading of the room; null if it has none |
 * | `p_known_stamps` | the `stamp` of the previous reading |
 * | `p_from`, `p_to` | which of the readers are those of the room |
 * | `p_versions` | the version of the reader's position; 0 if they have none, null if it knows nothing about the reader |
 *
 * Every change of a room raises `last_rev`, and a message also raises `last_seq`. If the stamp is the same, only messages
 * were added since: the rules are the same, no message was edited or deleted, and the first positions of users without a
 * mark are where they were. `since` is then the known `last_seq`; otherwise it is null, and everything is read.
 *
 * | field | what it has if `since` is not null |
 * | --- | --- |
 * | `recent`, `mentioning` | the messages after `since` that count, or that mention somebody |
 * | `rules`, `mentions` | those of readers about whom the node knows nothing |
 * | `people` | the readers whose position has another version |
 *
 * The last field of a person says whether their position stays if messages are added. A first position does as soon as a
 * message follows it, because `created_at` never decreases from one message of a room to the next.
 */
export class Migration20261128160500_crowd_items extends Migration {
  override name = 'Migration20261128160500_crowd_items';

  override up(): void {
    this.addSql(inboxItems);
  }

  override down(): void {
    this.addSql('drop function inbox_items(bigint[], bigint[], bigint[], int[], int[], uuid[], uuid[], bigint[]);');
  }
}

import { Migration } from '@mikro-orm/migrations';
import { createAppendStraight } from './functions/append-straight.ts';
import { createApplyOperations } from './functions/apply-operations.ts';
import { inboxItems } from './functions/inbox-items.ts';
import { mentionsAfter } from './functions/mentions-after.ts';

/**
 * Replaces functions whose plans cost too much. They return the same as before.
 *
 * `append_straight` counts the messages of all its rooms in one statement instead of one for each room, and PostgreSQL no
 * longer plans its statements anew for each batch. Where PostgreSQL had no statistics of `messages` yet, or where most rooms
 * had few messages, `mentions_after` and `inbox_items` read every message after the position of a user and looked for
 * mentions of each, and `apply_operations` could search all messages of a room for the last reply of a thread.
 */
export class Migration20261129030000_steady_plans extends Migration {
  override name = 'Migration20261129030000_steady_plans';

  override up(): void {
    this.addSql(createAppendStraight({ hasJournal: true }));
    this.addSql(mentionsAfter);
    this.addSql(createApplyOperations(true));
    this.addSql(inboxItems);
  }

  /** Earlier versions work with the replaced functions, which have kept their signatures. */
  override down(): void {}
}

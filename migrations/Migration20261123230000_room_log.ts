import { Migration } from '@mikro-orm/migrations';
import { createAppendMessages } from './functions/append-messages.ts';

/**
 * The two functions of the room log. This migration is written by hand, because the schema comparison of the ORM ignores
 * functions.
 *
 * `append_messages` stores a batch of messages in one statement and returns an outcome for each message. The caller passes
 * whether the sender may send the message (`p_allowed`), and the `rights_rev` at which this was decided. If the rights of
 * the room have changed since then, the outcome is `stale`, and the caller must authorize the message again. A duplicate
 * `client_msg_id` is detected before the permission is checked. A batch must not contain the same room, emitter and
 * `client_msg_id` twice.
 *
 * Rooms are locked in the order of their ids. If another transaction keeps a room locked for more than a short time, the
 * outcome is `busy`, so that this room does not delay the messages of the other rooms. The function is written in PL/pgSQL,
 * because each statement in it sees what other transactions have committed while the previous statement waited for a lock.
 * A single SQL statement would not see this.
 *
 * `seq_at` returns the lowest `seq` of a room whose message is not older than `p_at`. It uses binary search, because the
 * times in a room never decrease.
 */
export class Migration20261123230000_room_log extends Migration {
  override name = 'Migration20261123230000_room_log';

  override up(): void {
    this.addSql(createAppendMessages({ hasJournal: false }));

    this.addSql(`
create function seq_at(p_room bigint, p_at timestamptz) returns bigint language plpgsql stable as $$
declare
  v_low bigint := 1;
  v_high bigint;
  v_middle bigint;
  v_seq bigint;
  v_created timestamptz;
begin
  select last_seq + 1 into v_high from rooms where id = p_room;
  while v_low < v_high loop
    v_middle := (v_low + v_high) / 2;
    select seq, created_at into v_seq, v_created from messages
      where room_id = p_room and seq >= v_middle order by seq limit 1;
    if v_seq is null or v_created >= p_at then
      v_high := v_middle;
    else
      v_low := v_seq + 1;
    end if;
  end loop;
  return v_low;
end $$;`);
  }

  override down(): void {
    this.addSql('drop function seq_at(bigint, timestamptz);');
    this.addSql('drop function append_messages(bigint[], uuid[], text[], text[], boolean[], bigint[]);');
  }
}

import { service } from '../../core/authorization.ts';
import { ChatError } from '../../core/errors.ts';
import type { RoomId, RoomRef, Uuid } from '../../core/ids.ts';
import type { Statement, Store } from '../../database/store.ts';
import { type AppContext, resolveRoomId } from '../app-context.ts';
import { write } from '../messages/write.ts';

const maxDeleted = 1_000;
const maxRows = 50_000;
/** Others wait to write in the room during a commit, so it is short. */
const maxPerCommit = 50;
const rowsPerStatement = 2_000;

const findStatement: Statement = {
  name: 'find_messages_of_emitter',
  text: `select r.last_seq::float8 as last, coalesce((
      select json_agg(x.seq order by x.seq) from (
        select m.seq from messages m where m.room_id = r.id and m.seq > $2::bigint and m.seq <= $2::bigint + ${rowsPerStatement}
          and m.emitter = $3::uuid and m.deleted_at is null
        order by m.seq limit ${maxPerCommit}
      ) x
    ), '[]') as seqs
    from rooms r where r.id = $1::bigint`,
};

interface DeletedOfEmitter {
  deleted: number[];
  /** The newest message that the call has looked at, if newer ones are left. */
  next: number | null;
}

/** Deletes the messages of an emitter after `afterSeq`, the oldest first. Ends at one of its limits. */
export async function deleteMessagesOfEmitter(
  context: AppContext,
  ref: RoomRef,
  emitter: Uuid,
  afterSeq: number,
): Promise<DeletedOfEmitter> {
  const room = await resolveRoomId(context, ref);
  const deleted: number[] = [];
  let after = afterSeq;
  while (deleted.length < maxDeleted && after - afterSeq < maxRows) {
    const { seqs, last } = await findMessages(context.store, room, emitter, after);
    if (seqs.length > 0) {
      const result = await write(context, service, room, { kind: 'delete', seqs });
      if (result.outcome === 'deleted') deleted.push(...result.messages.map(({ message }) => message.seq));
    }
    after = seqs.length === maxPerCommit ? seqs.at(-1)! : after + rowsPerStatement;
    if (after >= last) return { deleted, next: null };
  }
  return { deleted, next: after };
}

async function findMessages(store: Pick<Store, 'query'>, room: RoomId, emitter: Uuid, after: number) {
  const [row] = await store.query<{ last: number; seqs: number[] }>(findStatement, [room, after, emitter]);
  if (!row) throw new ChatError('NOT_FOUND');
  return row;
}

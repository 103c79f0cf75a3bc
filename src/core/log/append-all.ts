import type { Store } from '../../database/store.ts';
import { sqlState } from '../../database/store-errors.ts';
import type { RoomId, Uuid } from '../ids.ts';
import type { MessageChange } from './change.ts';
import { type MessageRow, toMessageChange } from './message-row.ts';
import type { RichContent } from './operation.ts';

/** A message of any emitter. `created_at` is in ms; null means now. Either all messages of a call have it, or none. */
export interface ServiceDraft extends RichContent {
  emitter: Uuid;
  created_at: number | null;
}

export type AppendAllProblem = 'reused' | 'too_early' | 'future' | 'no_message' | 'is_deleted' | 'nested';

export type AppendAllResult =
  | { outcome: 'stored'; messages: { change: MessageChange; isDuplicate: boolean }[] }
  /** Another transaction keeps the room locked. The caller has to retry later. */
  | { outcome: 'busy' }
  | { outcome: 'gone' }
  /** The draft at `index` cannot be stored. `changed` is the time in ms before which no message may have been created. */
  | { outcome: 'refused'; index: number; problem: AppendAllProblem; field: string; changed?: number };

const statement = {
  name: 'append_all',
  isUrgent: true,
  writesJournal: true,
  text: 'select append_all($1::bigint, $2::jsonb) as messages',
};

/**
 * Stores all of the messages in one commit, or none. It is not asked whether the emitters may write. No two drafts may
 * have the same emitter and client_msg_id.
 */
export async function appendAll(store: Store, room: RoomId, drafts: readonly ServiceDraft[]): Promise<AppendAllResult> {
  const items = drafts.map(({ created_at, ...draft }) => ({
    ...draft,
    ...(created_at !== null && { created_at: new Date(created_at).toISOString() }),
  }));
  try {
    type Row = { messages: { is_duplicate: boolean; message: MessageRow }[] | null };
    const [row] = await store.query<Row>(statement, [room, JSON.stringify(items)]);
    if (!row?.messages) return { outcome: 'gone' };
    const messages = row.messages.map(({ is_duplicate, message }) => ({
      change: toMessageChange(message),
      isDuplicate: is_duplicate,
    }));
    return { outcome: 'stored', messages };
  } catch (error) {
    const state = sqlState(error);
    if (state === '55P03') return { outcome: 'busy' };
    if (state !== 'NM002') throw error;
    return { outcome: 'refused', ...parseRefusal(error) };
  }
}

/** The function puts the reason into the detail of its error. */
function parseRefusal(error: unknown): Omit<Extract<AppendAllResult, { outcome: 'refused' }>, 'outcome'> {
  for (let at = error; at instanceof Error; at = at.cause) {
    const { detail } = at as { detail?: unknown };
    if (typeof detail === 'string') return JSON.parse(detail);
  }
  throw error;
}

import type { Store } from '../../database/store.ts';
import type { Message, ReactionCount, ReactionDelta } from './message.ts';
import { type MessageRow, toMessage } from './message-row.ts';
import type { MessageAt, Operation, OperationProblem, OperationResult } from './operation.ts';
import { statements } from './room-log-statements.ts';

interface Row {
  outcome:
    | 'stored'
    | 'duplicate'
    | 'unchanged'
    | 'stale'
    | 'busy'
    | 'gone'
    | 'refused'
    | 'deleted'
    | Exclude<OperationProblem, 'is_deleted'>;
  rev: number;
  at: number;
  field?: string;
  seq?: number | null;
  message?: MessageRow | null;
  messages?: MessageRow[];
  reactions?: ReactionCount[];
  changes?: ReactionDelta[];
}

/**
 * Applies operations in one transaction, each independently of the others. The operations are grouped by room. At most
 * one operation may refer to each message, except for reactions. The results are in the order of the operations.
 */
export async function applyOperations(store: Store, operations: readonly Operation[]): Promise<OperationResult[]> {
  const rows = await store.query<{ result: Row }>(statements.operations, [JSON.stringify(operations)]);
  return rows.map(({ result }, n) => toResult(result, operations[n]!));
}

function toResult(row: Row, operation: Operation): OperationResult {
  const { outcome, rev, at } = row;
  switch (outcome) {
    case 'stored':
      return toStored(row, operation);
    case 'duplicate':
      return { outcome, ...toMessageAt(row.message!, row.message!.rev, row.message!.at) };
    case 'unchanged': {
      const message = row.message ? { message: toMessage(row.message) } : {};
      return { outcome, rev, at, ...message, ...(row.reactions && { reactions: row.reactions }) };
    }
    case 'stale':
    case 'busy':
    case 'gone':
    case 'refused':
      return { outcome };
    default: {
      const message: { message?: Message } = row.message ? { message: toMessage(row.message) } : {};
      const seq = row.seq == null ? {} : { seq: row.seq };
      return { outcome: outcome === 'deleted' ? 'is_deleted' : outcome, field: row.field!, ...seq, ...message };
    }
  }
}

function toStored(row: Row, operation: Operation): OperationResult {
  const { rev, at } = row;
  switch (operation.kind) {
    case 'send':
      return { outcome: 'sent', ...toMessageAt(row.message!, rev, at) };
    case 'edit':
      return { outcome: 'edited', ...toMessageAt(row.message!, rev, at) };
    case 'delete': {
      const messages = row.messages!.map((message) => toMessageAt(message, message.extras!.version!, at));
      return { outcome: 'deleted', rev, at, messages };
    }
    case 'react':
      return { outcome: 'reacted', rev, at, seq: operation.seq, reactions: row.reactions!, changes: row.changes! };
  }
}

function toMessageAt(row: MessageRow, rev: number, at: number): MessageAt {
  const { extras, root_replies } = row;
  const isReply = extras?.thread !== undefined && root_replies;
  const root = isReply ? { root: { seq: extras.thread!, replies: root_replies } } : {};
  return { message: toMessage(row), rev, at, ...root };
}

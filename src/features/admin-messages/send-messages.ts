import type { z } from 'zod';
import { formatCursor } from '../../core/cursor.ts';
import { ChatError } from '../../core/errors.ts';
import type { RoomRef } from '../../core/ids.ts';
import type { Message } from '../../core/log/message.ts';
import { type AppContext, resolveRoomId } from '../app-context.ts';
import { assertContentSize, toAllExtras } from '../messages/send-message.ts';
import { assertAcceptsWrites } from '../messages/write.ts';
import type { ServiceMessages } from './contract.ts';

interface SentMessages {
  messages: Message[];
  /** The `seq` of the messages that had been stored before. */
  duplicates: number[];
  /** The position of the newest of them. */
  rev: number;
  cursor: string;
}

const maxIdLength = 64;

/** The id of a message without its own id: a key for several messages gets the index of the message as a suffix. */
function createId(key: string | null, index: number, count: number): string | null {
  if (key === null || count === 1) return key;
  const id = `${key}-${index}`;
  if (id.length <= maxIdLength) return id;
  const message = 'must be short enough for a suffix such as -499, because the call has several messages';
  throw new ChatError('BAD_REQUEST', { field: 'client_msg_id', message });
}

/** Sends messages of the service and of any users, in one commit. Rules, rights and rates are not checked. */
export async function sendServiceMessages(
  context: AppContext,
  ref: RoomRef,
  { messages, client_msg_id: key }: z.infer<typeof ServiceMessages>,
): Promise<SentMessages> {
  for (const [n, draft] of messages.entries()) assertContentSize(context, draft, `messages.${n}.`);
  assertAcceptsWrites(context);
  const room = await resolveRoomId(context, ref);
  const stored = await context.appendAll(
    room,
    messages.map((draft, n) => ({
      ...{
        emitter: draft.emitter,
        content: draft.content,
        client_msg_id: draft.client_msg_id ?? createId(key ?? null, n, messages.length),
      },
      ...toAllExtras(draft),
      created_at: draft.createdAt ?? null,
    })),
  );
  const newest = stored.map(({ change }) => change).reduce((a, b) => (a.rev >= b.rev ? a : b));
  return {
    messages: stored.map(({ change }) => change.message),
    duplicates: stored.filter(({ duplicate }) => duplicate).map(({ change }) => change.message.seq),
    ...{ rev: newest.rev, cursor: formatCursor(newest) },
  };
}

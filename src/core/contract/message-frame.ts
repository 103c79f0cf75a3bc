import { formatCursor } from '../cursor.ts';
import type { MessageChange } from '../log/change.ts';
import type { ChatFrame } from './chat.ts';

export function toMessageFrame(change: MessageChange): Extract<ChatFrame, { type: 'message' }> {
  return { type: 'message', rev: change.rev, cursor: formatCursor(change), data: change.message };
}

import type { ChatFrame } from '../../core/contract/chat.ts';
import { formatCursor } from '../../core/cursor.ts';
import type { MessageChange } from '../../core/log/change.ts';

export function toMessageFrame(change: MessageChange): Extract<ChatFrame, { type: 'message' }> {
  return { type: 'message', rev: change.rev, cursor: formatCursor(change), data: change.message };
}

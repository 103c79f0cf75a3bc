import { formatCursor } from '../../core/cursor.ts';
import type { MessageChange } from '../../core/log/change.ts';
import type { ChatFrame } from '../../protocol/chat-commands.ts';

export function toMessageFrame(change: MessageChange): Extract<ChatFrame, { type: 'message' }> {
  return { type: 'message', rev: change.rev, cursor: formatCursor(change), data: change.message };
}

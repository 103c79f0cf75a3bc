import type { Actor, service } from '../../core/authorization.ts';
import type { RoomRef } from '../../core/ids.ts';
import type { CustomData, Message } from '../../core/log/message.ts';
import type { AppContext } from '../app-context.ts';
import { assertContentSize } from '../messages/send-message.ts';
import { write } from '../messages/write.ts';

export interface Edit {
  seq: number;
  content?: string | undefined;
  custom?: CustomData | null | undefined;
  mentions?: string[] | undefined;
  mention_room?: boolean | undefined;
  base?: number | undefined;
}

export interface EditedMessage {
  message: Message;
  changed: boolean;
  rev: number;
  cursor: string;
}

export async function editMessage(
  context: AppContext,
  actor: Actor | typeof service,
  ref: RoomRef,
  edit: Edit,
): Promise<EditedMessage> {
  assertContentSize(context, edit);
  if (actor.user !== null) await context.sendRate.consume(actor.user);
  const { seq, content, custom, mentions, mention_room, base } = edit;
  const result = await write(context, actor, ref, {
    ...{ kind: 'edit', seq, edit_seconds: actor.user === null ? 0 : context.settings.editSeconds },
    ...(content !== undefined && { content }),
    ...(custom !== undefined && { custom: custom && JSON.stringify(custom) }),
    ...(mentions !== undefined && { mentions }),
    ...(mention_room !== undefined && { mention_room }),
    ...(base !== undefined && { base }),
  });
  const { rev, cursor } = result;
  if (result.outcome !== 'edited' && result.outcome !== 'unchanged') throw new Error(`An edit was ${result.outcome}`);
  return { message: result.message!, changed: result.outcome === 'edited', rev, cursor };
}

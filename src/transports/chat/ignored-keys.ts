import {
  type ChatCommand,
  type ChatFrame,
  type CommandId,
  getFrameName,
  listsIgnoredKeys,
} from '../../core/contract/chat.ts';
import { findUnknownKeys } from '../../core/parse.ts';

/** The maximum number of unanswered commands of a connection whose unknown keys are remembered. */
const maxCommands = 100;

/**
 * The unknown keys of commands by the `id` of the command, until the answer to each command lists them. Most connections
 * have no such map, because few commands have unknown keys.
 */
export type IgnoredKeys = Map<CommandId, string[]>;

/**
 * Adds the keys of the command that its schema does not have. Returns the map, which is created if necessary. Throws if
 * such a key is probably a typo. Only a command with an `id` gets the list, because clients of the legacy service send other
 * keys and do not expect it.
 */
export function addIgnoredKeys(
  known: IgnoredKeys | undefined,
  { answers, frame }: ChatCommand,
  command: object,
  id: CommandId | undefined,
): IgnoredKeys | undefined {
  if (!answers.some(listsIgnoredKeys)) return known;
  const ignored = findUnknownKeys(frame, command).filter((key) => key !== 'id');
  if (id === undefined || ignored.length === 0) return known;
  const kept: IgnoredKeys = known && known.size < maxCommands ? known : new Map();
  return kept.set(id, ignored);
}

/** Adds the list to the frame if the frame answers a command with unknown keys. */
export function listIgnoredKeys(known: IgnoredKeys | undefined, frame: ChatFrame): ChatFrame {
  const id = 'id' in frame ? frame.id : undefined;
  const ignored = id === undefined ? undefined : known?.get(id);
  if (!ignored) return frame;
  known!.delete(id!);
  return listsIgnoredKeys(getFrameName(frame)) ? ({ ...frame, ignored } as ChatFrame) : frame;
}

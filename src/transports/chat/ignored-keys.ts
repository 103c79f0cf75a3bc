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

/** The unknown keys of commands, until the answer to each command lists them. */
export class IgnoredKeys {
  /** By the `id` of the command. Created late, because few commands have unknown keys. */
  #byId: Map<CommandId, string[]> | undefined;

  /**
   * Remembers the keys of the command that its schema does not have. Throws if such a key is probably a typo. Only a
   * command with an `id` gets the list, because clients of the legacy service send other keys and do not expect it.
   */
  record({ answers, frame }: ChatCommand, command: object, id: CommandId | undefined): void {
    if (!answers.some(listsIgnoredKeys)) return;
    const ignored = findUnknownKeys(frame, command).filter((key) => key !== 'id');
    if (id === undefined || ignored.length === 0) return;
    if (!this.#byId || this.#byId.size >= maxCommands) this.#byId = new Map();
    this.#byId.set(id, ignored);
  }

  /** Adds the list to the frame if the frame answers a command with unknown keys. */
  addTo(frame: ChatFrame): ChatFrame {
    const id = 'id' in frame ? frame.id : undefined;
    const ignored = id === undefined ? undefined : this.#byId?.get(id);
    if (!ignored) return frame;
    this.#byId!.delete(id!);
    return listsIgnoredKeys(getFrameName(frame)) ? ({ ...frame, ignored } as ChatFrame) : frame;
  }
}

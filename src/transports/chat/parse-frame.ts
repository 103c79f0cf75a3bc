import { CommandId } from '../../core/contract/chat.ts';

export interface ParsedFrame {
  /** The object that the client sent; empty if the client sent other JSON. The keys are not validated yet. */
  command: Readonly<Record<string, unknown>>;
  /** The command's `id`; undefined if it is missing or invalid. */
  id: CommandId | undefined;
}

const byteOrderMark = '\u{feff}';

/** Returns undefined if the text is not JSON. A byte order mark is ignored, because some libraries send one first. */
export function parseFrame(text: string): ParsedFrame | undefined {
  let frame: unknown;
  try {
    frame = JSON.parse(text.startsWith(byteOrderMark) ? text.slice(1) : text);
  } catch {
    return undefined;
  }
  const command = isObject(frame) ? frame : {};
  return { command, id: command.id === undefined ? undefined : CommandId.safeParse(command.id).data };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

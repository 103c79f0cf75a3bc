/** One channel of the document: its messages and operations by key. */
export interface Channel {
  channel: object;
  messages: Record<string, Message>;
  operations: Record<string, Operation>;
}

export interface Operation {
  /** From the server's side. */
  action: 'receive' | 'send';
  summary: string;
  messages: string[];
  /** The messages that answer it. */
  reply?: string[];
}

export interface Message {
  name: string;
  title: string;
  summary?: string;
  payload: object;
  [more: string]: unknown;
}

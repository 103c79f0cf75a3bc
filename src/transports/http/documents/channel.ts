/** A channel as its part of the document is made: messages and operations by their keys. */
export interface Channel {
  channel: object;
  messages: Record<string, Message>;
  operations: Record<string, Operation>;
}

export interface Operation {
  /** As of the server. */
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

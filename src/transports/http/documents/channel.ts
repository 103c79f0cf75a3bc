/** A channel of the AsyncAPI document, with its messages and operations by their keys. */
export interface Channel {
  channel: object;
  messages: Record<string, Message>;
  operations: Record<string, Operation>;
}

export interface Operation {
  /** From the server's point of view: clients send what it receives. */
  action: 'receive' | 'send';
  summary: string;
  messages: string[];
  /** The keys of the messages that may answer the operation. */
  reply?: string[];
}

export interface Message {
  name: string;
  title: string;
  summary?: string;
  payload: object;
  [more: string]: unknown;
}

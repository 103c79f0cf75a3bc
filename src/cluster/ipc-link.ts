import type { Socket } from 'node:net';

/** The IPC channel between the primary process and one worker: `process` in the worker, a `Worker` in the primary. */
export interface IpcChannel {
  send(message: object, handle: Socket | undefined, callback: (error: Error | null) => void): unknown;
  on(event: 'message', listener: (message: unknown, handle: unknown) => void): unknown;
}

type Arguments = readonly unknown[];
/** The result of a call, or a promise of it. `handle` is the socket that was passed with the message. */
type Handler = (args: Arguments, handle: Socket | undefined) => unknown;

interface PendingCall {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

type Message =
  | { nano: 'call'; id: number; name: string; args: Arguments }
  | { nano: 'answer'; id: number; result?: unknown; error?: string };

/**
 * Calls functions of the process at the other end of an IPC channel. Messages with other contents, such as those of the
 * Socket.IO adapter, may use the channel, too.
 */
export class IpcLink {
  readonly #channel: IpcChannel;
  readonly #handlers = new Map<string, Handler>();
  readonly #pending = new Map<number, PendingCall>();
  #lastId = 0;
  #failure: Error | undefined;

  constructor(channel: IpcChannel) {
    this.#channel = channel;
    channel.on('message', (message, handle) =>
      this.#handle(message as Message | undefined, handle as Socket | undefined),
    );
  }

  /** Registers the function that answers calls with this name. */
  answer(name: string, handler: Handler): void {
    this.#handlers.set(name, handler);
  }

  /** Resolves with the result. Rejects if the function throws or the channel closes; stays pending if nobody answers. */
  call<R>(name: string, ...args: Arguments): Promise<R> {
    return this.#call(name, args, undefined);
  }

  /** Passes a socket to the other process. Resolves when that process has it. */
  pass(name: string, socket: Socket, ...args: Arguments): Promise<void> {
    return this.#call(name, args, socket);
  }

  /** Rejects the calls that wait for an answer, and all further calls. */
  close(failure: Error): void {
    this.#failure ??= failure;
    for (const { reject } of this.#pending.values()) reject(failure);
    this.#pending.clear();
  }

  #call<R>(name: string, args: Arguments, handle: Socket | undefined): Promise<R> {
    if (this.#failure) return Promise.reject(this.#failure);
    this.#lastId += 1;
    const id = this.#lastId;
    return new Promise<R>((resolve, reject) => {
      this.#pending.set(id, { resolve: resolve as PendingCall['resolve'], reject });
      this.#send({ nano: 'call', id, name, args }, handle, (error) => {
        if (error && this.#pending.delete(id)) reject(error);
      });
    });
  }

  #send(message: Message, handle: Socket | undefined, callback: (error: Error | null) => void): void {
    try {
      this.#channel.send(message, handle, callback);
    } catch (error) {
      callback(error as Error);
    }
  }

  #handle(message: Message | undefined, handle: Socket | undefined): void {
    if (message?.nano === 'call') void this.#answer(message.id, message.name, message.args, handle);
    if (message?.nano !== 'answer') return;
    const call = this.#pending.get(message.id);
    this.#pending.delete(message.id);
    if (message.error === undefined) call?.resolve(message.result);
    else call?.reject(new Error(message.error));
  }

  async #answer(id: number, name: string, args: Arguments, handle: Socket | undefined): Promise<void> {
    let answer: { result: unknown } | { error: string };
    try {
      const handler = this.#handlers.get(name);
      if (!handler) throw new Error(`The other process has no function ${name}`);
      answer = { result: await handler(args, handle) };
    } catch (error) {
      handle?.destroy();
      answer = { error: error instanceof Error ? error.message : String(error) };
    }
    this.#send({ nano: 'answer', id, ...answer }, undefined, () => {});
  }
}

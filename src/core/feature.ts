import type { z } from 'zod';
import type { Actor } from './authorization.ts';
import type { ChatConnection, SelectedRoom, SocketConnection } from './connections.ts';
import type { ChatCommand, CommandId } from './contract/chat.ts';
import type { Route } from './contract/rest.ts';
import type { SocketRequest } from './contract/socketio.ts';

interface Parts<R, Q, C> {
  /** One sentence for the documents. */
  description: string;
  /** By the name of the operation. */
  rest?: R;
  /** Requests on Socket.IO, by their names on the wire. */
  requests?: Q;
  /** Commands on `/chat`, by their names on the wire. */
  commands?: C;
}

/** Everything of a feature that travels, on every transport. Zod only. */
export interface Contract<
  R = Record<string, Route>,
  Q = Record<string, SocketRequest>,
  C = Record<string, ChatCommand>,
> {
  readonly name: string;
  readonly description: string;
  readonly rest: R;
  readonly requests: Q;
  readonly commands: C;
}

// biome-ignore lint/complexity/noBannedTypes: a part that the feature does not have has no keys.
type None = {};

export function defineFeature<
  const R extends Record<string, Route> = None,
  const Q extends Record<string, SocketRequest> = None,
  const C extends Record<string, ChatCommand> = None,
>(name: string, { description, rest, requests, commands }: Parts<R, Q, C>): Contract<R, Q, C> {
  return {
    name,
    description,
    rest: rest ?? ({} as R),
    requests: requests ?? ({} as Q),
    commands: commands ?? ({} as C),
  };
}

type Parsed<S> = S extends z.ZodType ? z.infer<S> : undefined;
type Property<T, K extends string> = T extends { readonly [P in K]: infer V } ? V : undefined;

export interface RestCall<R, Context> {
  readonly context: Context;
  readonly actor: Property<R, 'auth'> extends 'user' ? Actor : undefined;
  readonly params: Parsed<Property<R, 'params'>>;
  readonly query: Parsed<Property<R, 'query'>>;
  readonly body: Parsed<Property<Property<R, 'body'>, 'schema'>>;
}

/** The transport sets these keys of `meta`. */
type SetByTransport = 'code' | 'message' | 'ignored';
type WithMeta<M> = keyof Omit<M, SetByTransport> extends never
  ? { meta?: undefined }
  : { meta: Omit<M, SetByTransport> };

type ReplyWith<Status, Schema extends z.ZodType> =
  z.input<Schema> extends { meta: infer M; content: infer C }
    ? { code: Status; content: C } & WithMeta<M>
    : { code: Status; text: string; type?: string };

/** One of the answers of the contract. */
export type RestReply<R extends Pick<Route, 'answers'>> = {
  [Status in keyof R['answers'] & number]: ReplyWith<Status, R['answers'][Status]['schema']>;
}[keyof R['answers'] & number];

export type RestHandler<R extends Pick<Route, 'answers'>, Context> = (
  call: RestCall<R, Context>,
) => Promise<RestReply<R>>;

export interface RequestCall<Q extends SocketRequest, Context> {
  readonly context: Context;
  readonly actor: Actor;
  readonly payload: z.infer<Q['payload']>;
  readonly connection: SocketConnection;
  /** Sends the acknowledgement at once; then the handler resolves to `undefined`. */
  acknowledge(ack: z.input<Q['ack']>): void;
}

/** `later`: the next request of the connection does not wait for the acknowledgement. */
export type RequestHandler<Q extends SocketRequest, Context> = (
  call: RequestCall<Q, Context>,
) => Promise<z.input<Q['ack']> | { later: Promise<z.input<Q['ack']>> } | undefined>;

export interface CommandCall<C extends ChatCommand, Context> {
  readonly context: Context;
  readonly actor: C['needs'] extends 'nothing' ? undefined : Actor;
  /** A command that needs nothing is not parsed: its handler answers a wrong one in its way. */
  readonly frame: C['needs'] extends 'nothing' ? Readonly<Record<string, unknown>> : z.infer<C['frame']>;
  readonly id: CommandId | undefined;
  readonly connection: ChatConnection;
  /** The room that the connection was in when the command started. */
  readonly room: C['needs'] extends 'room' ? SelectedRoom : undefined;
}

/** Sends its answers itself, on the connection or on the room. */
export type CommandHandler<C extends ChatCommand, Context> = (call: CommandCall<C, Context>) => Promise<void> | void;

/** One handler for each entry of the contract: no other set of names compiles. */
export type Handlers<F extends Contract, Context> = {
  readonly [N in keyof F['rest']]: RestHandler<F['rest'][N], Context>;
} & {
  readonly [N in keyof F['requests']]: RequestHandler<F['requests'][N], Context>;
} & {
  readonly [N in keyof F['commands']]: CommandHandler<F['commands'][N], Context>;
};

/** A contract with its handlers. */
export interface Feature<Context> {
  readonly contract: Contract;
  /** By the name of the entry. `implement` has checked each against its entry. */
  readonly handlers: Readonly<Record<string, (call: never) => unknown>>;
  /** Keeps features of different contexts apart. */
  readonly handle?: (context: Context) => void;
}

/** `implement` for the handlers that work with this context. */
export const implementWith =
  <Context>() =>
  <F extends Contract>(contract: F, handlers: NoInfer<Handlers<F, Context>>): Feature<Context> => ({
    contract,
    handlers: handlers as Feature<Context>['handlers'],
  });

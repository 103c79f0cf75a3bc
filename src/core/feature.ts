import type { z } from 'zod';
import type { Actor } from './authorization.ts';
import type { ChatConnection, SelectedRoom, SocketConnection } from './connections.ts';
import type { ChatCommand, CommandId } from './contract/chat.ts';
import type { Route } from './contract/rest.ts';
import type { SocketRequest } from './contract/socketio.ts';
import type { Subscriber } from './feed/subscriber.ts';
import type { RoomId } from './ids.ts';

interface Parts<R, Q, C, J> {
  /** One sentence about the feature for the OpenAPI and AsyncAPI documents. */
  description: string;
  /** Keyed by the names of the operations in the OpenAPI document. */
  rest?: R;
  /** Keyed by the names that Socket.IO clients send. */
  requests?: Q;
  /** Keyed by the names that `/chat` clients send. */
  commands?: C;
  /** The ephemeral events that Socket.IO clients receive, by their names. */
  events?: Events;
  /** The frames of the events that `/chat` clients also receive, if they have selected the room with `events`. */
  frames?: Frames;
  /** What a client may ask for with `room:join`, by the names of the keys. */
  joinOptions?: J;
}

type Events = Readonly<Record<string, z.ZodType>>;
type Frames = Readonly<Record<string, z.ZodObject>>;

/**
 * A key of `room:join` that this feature adds: with `true`, the acknowledgement has the feature's answer under the same
 * key, and the connection follows the topic of that name in the room.
 */
export interface JoinOption {
  description: string;
  answer: z.ZodType;
}

/** The API of a feature, as data without logic: REST routes, Socket.IO requests and `/chat` commands. */
export interface Contract<
  R = Record<string, Route>,
  Q = Record<string, SocketRequest>,
  C = Record<string, ChatCommand>,
  J = Record<string, JoinOption>,
> {
  readonly name: string;
  readonly description: string;
  readonly rest: R;
  readonly requests: Q;
  readonly commands: C;
  readonly events: Events;
  readonly frames: Frames;
  readonly joinOptions: J;
}

// biome-ignore lint/complexity/noBannedTypes: an object type without keys, for a part that a feature omits.
type None = {};

export function defineFeature<
  const R extends Record<string, Route> = None,
  const Q extends Record<string, SocketRequest> = None,
  const C extends Record<string, ChatCommand> = None,
  const J extends Record<string, JoinOption> = None,
>(name: string, parts: Parts<R, Q, C, J>): Contract<R, Q, C, J> {
  const { description, rest, requests, commands, events = {}, frames = {}, joinOptions } = parts;
  return {
    name,
    description,
    rest: rest ?? ({} as R),
    requests: requests ?? ({} as Q),
    commands: commands ?? ({} as C),
    events,
    frames,
    joinOptions: joinOptions ?? ({} as J),
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

/** Keys of `meta` that the transport sets, so handlers do not return them. */
type SetByTransport = 'code' | 'message' | 'ignored';
type WithMeta<M> = keyof Omit<M, SetByTransport> extends never
  ? { meta?: undefined }
  : { meta: Omit<M, SetByTransport> };

type ReplyWith<Status, Schema extends z.ZodType> =
  z.input<Schema> extends { meta: infer M; content: infer C }
    ? { code: Status; content: C } & WithMeta<M>
    : { code: Status; text: string; type?: string };

/** One of the answers that the contract of the route lists. */
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
  /** Sends the acknowledgement before the handler returns. The handler then has to resolve to undefined. */
  acknowledge(ack: z.input<Q['ack']>): void;
}

/**
 * Resolves to the acknowledgement, or to `{ later }`, a promise of the acknowledgement. With `later`, the connection
 * starts the next request without waiting for the promise.
 */
export type RequestHandler<Q extends SocketRequest, Context> = (
  call: RequestCall<Q, Context>,
) => Promise<z.input<Q['ack']> | { later: Promise<z.input<Q['ack']>> } | undefined>;

export interface CommandCall<C extends ChatCommand, Context> {
  readonly context: Context;
  readonly actor: C['needs'] extends 'nothing' ? undefined : Actor;
  /** Validated, unless the command needs nothing. In that case the handler has to reject invalid frames. */
  readonly frame: C['needs'] extends 'nothing' ? Readonly<Record<string, unknown>> : z.infer<C['frame']>;
  readonly id: CommandId | undefined;
  readonly connection: ChatConnection;
  /** The room that was selected when the command started. */
  readonly room: C['needs'] extends 'room' ? SelectedRoom : undefined;
}

/** Sends the answers itself, with the methods of `connection` and `room`. */
export type CommandHandler<C extends ChatCommand, Context> = (call: CommandCall<C, Context>) => Promise<void> | void;

export interface JoinCall<Context> {
  readonly context: Context;
  readonly room: RoomId;
  readonly subscriber: Subscriber;
}

/**
 * Called while the join buffers the changes of the room, so no change is lost between the data that the handler reads
 * and the live changes. Resolves to a function that returns the answer; it is called in the tick in which the
 * acknowledgement is sent and the subscription goes live. The handler may be called for a join that is then denied, and
 * several times for one join. `mayRead` decides whether an actor may read the room in the state of the acknowledgement,
 * which may be ahead of the feed.
 */
export type JoinOptionHandler<J extends JoinOption, Context> = (
  call: JoinCall<Context>,
) => Promise<(mayRead: (actor: Actor) => boolean) => z.input<J['answer']>>;

/** One handler for each entry of the contract. The compiler rejects missing and unknown names. */
export type Handlers<F extends Contract, Context> = {
  readonly [N in keyof F['rest']]: RestHandler<F['rest'][N], Context>;
} & {
  readonly [N in keyof F['requests']]: RequestHandler<F['requests'][N], Context>;
} & {
  readonly [N in keyof F['commands']]: CommandHandler<F['commands'][N], Context>;
} & {
  readonly [N in keyof F['joinOptions'] & string as `join:${N}`]: JoinOptionHandler<F['joinOptions'][N], Context>;
};

export interface Feature<Context> {
  readonly contract: Contract;
  /**
   * Keyed like the entries of the contract. The types of the handlers are erased here, after `implement` has checked
   * them.
   */
  readonly handlers: Readonly<Record<string, (call: never) => unknown>>;
  /** Never set. The property only lets the compiler reject a feature that needs a different context. */
  readonly handle?: (context: Context) => void;
}

/** Creates a function that pairs contracts with handlers. All handlers receive the same type of context. */
export const implementWith =
  <Context>() =>
  <F extends Contract>(contract: F, handlers: NoInfer<Handlers<F, Context>>): Feature<Context> => ({
    contract,
    handlers: handlers as Feature<Context>['handlers'],
  });

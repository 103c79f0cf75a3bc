import type { Actor } from './authorization.ts';
import type { ChatConnection, SelectedRoom } from './connections.ts';
import type { ChatCommand, CommandId } from './contract/chat.ts';
import type { Route } from './contract/rest.ts';
import type { SocketRequest } from './contract/socketio.ts';
import type { Contract, Feature, RequestCall, RequestHandler } from './feature.ts';

/** A REST request that the transport has parsed with the schemas of the contract. */
interface ParsedRestCall {
  actor: Actor | undefined;
  params: unknown;
  query: unknown;
  body: unknown;
}

/**
 * An entry of a contract with its handler. The transport has to parse the input with the schema of `entry` before it
 * calls `handle`.
 */
export interface Registered<Entry, Call, Answer> {
  name: string;
  entry: Entry;
  handle(call: Call): Answer;
}

export type RegisteredRequest = Registered<
  SocketRequest,
  RequestCall<SocketRequest, unknown>,
  ReturnType<RequestHandler<SocketRequest, unknown>>
>;
export type RegisteredCommand = Registered<ChatCommand, AnyCommandCall, Promise<void> | void>;

/** A `CommandCall` of any command: `actor` and `room` are undefined if the command does not need them. */
export interface AnyCommandCall {
  context: unknown;
  actor: Actor | undefined;
  frame: unknown;
  id: CommandId | undefined;
  connection: ChatConnection;
  room: SelectedRoom | undefined;
}

export interface RegisteredRoute {
  name: string;
  route: Route;
  handle(
    call: ParsedRestCall,
  ): Promise<
    { code: number } & (
      | { content: unknown; meta?: Record<string, unknown> | undefined }
      | { text: string; type?: string }
    )
  >;
}

/** The entries of all features. Transports depend only on this interface, not on features. */
export interface Registry {
  contracts: readonly Contract[];
  routes: readonly RegisteredRoute[];
  /** Keyed by the names that clients send. */
  requests: ReadonlyMap<string, RegisteredRequest>;
  commands: ReadonlyMap<string, RegisteredCommand>;
  /** The transport has to pass it to the handlers of requests and commands. The handlers of routes already have it. */
  context: unknown;
}

export function createRegistry<Context>(features: readonly Feature<Context>[], context: Context): Registry {
  const routes = new Map<string, RegisteredRoute>();
  const requests = new Map<string, RegisteredRequest>();
  const commands = new Map<string, RegisteredCommand>();
  for (const { contract, handlers } of features) {
    for (const [name, route] of Object.entries(contract.rest)) {
      const handler = handlers[name] as (
        call: ParsedRestCall & { context: Context },
      ) => ReturnType<RegisteredRoute['handle']>;
      const key = `${route.method} ${route.path.replaceAll(/:\w+/g, ':')}`;
      if (routes.has(key))
        throw new Error(`${contract.name}.${name}: another feature serves ${route.method} ${route.path}`);
      routes.set(key, { name, route, handle: (call) => handler({ context, ...call }) });
    }
  }
  function register<Entry, Call, Answer>(
    entries: Map<string, Registered<Entry, Call, Answer>>,
    { contract, handlers }: Feature<Context>,
    own: Record<string, Entry>,
  ): void {
    for (const [name, entry] of Object.entries(own)) {
      if (entries.has(name)) throw new Error(`${contract.name}: another feature has ${name}`);
      // The cast is safe, because `implement` has checked that the type of the handler fits the entry.
      entries.set(name, { name, entry, handle: handlers[name] as unknown as (call: Call) => Answer });
    }
  }
  for (const feature of features) {
    register(requests, feature, feature.contract.requests);
    register(commands, feature, feature.contract.commands);
  }
  return {
    context,
    requests,
    commands,
    contracts: features.map(({ contract }) => contract),
    routes: [...routes.values()],
  };
}

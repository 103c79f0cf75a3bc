import type { Actor } from './authorization.ts';
import type { Route } from './contract/rest.ts';
import type { Contract, Feature } from './feature.ts';

/** A call whose parts the transport has parsed with the schemas of the contract. */
interface ParsedRestCall {
  actor: Actor | undefined;
  params: unknown;
  query: unknown;
  body: unknown;
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

/** The features of a server by their entries, for transports that do not know them. */
export interface Registry {
  contracts: readonly Contract[];
  routes: readonly RegisteredRoute[];
}

export function createRegistry<Context>(features: readonly Feature<Context>[], context: Context): Registry {
  const routes = new Map<string, RegisteredRoute>();
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
  return { contracts: features.map(({ contract }) => contract), routes: [...routes.values()] };
}

import type { z } from 'zod';
import type { Actor } from './authorization.ts';
import type { Route } from './contract/rest.ts';

interface Parts<R> {
  /** One sentence for the documents. */
  description: string;
  /** By the name of the operation. */
  rest?: R;
}

/** Everything of a feature that travels, on every transport. */
export interface Contract<R = Record<string, Route>> {
  readonly name: string;
  readonly description: string;
  readonly rest: R;
}

// biome-ignore lint/complexity/noBannedTypes: a part that the feature does not have has no keys.
type None = {};

export function defineFeature<const R extends Record<string, Route> = None>(
  name: string,
  { description, rest }: Parts<R>,
): Contract<R> {
  return { name, description, rest: rest ?? ({} as R) };
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

/** One handler for each entry of the contract: no other set of names compiles. */
export type Handlers<F extends Contract, Context> = {
  readonly [N in keyof F['rest']]: RestHandler<F['rest'][N], Context>;
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

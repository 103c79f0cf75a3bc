import type { z } from 'zod';
import type { Audit } from '../core/audit.ts';
import type { Route } from '../core/contract/rest.ts';
import { ChatError, errors } from '../core/errors.ts';
import type { RestReply } from '../core/feature.ts';
import type { RoomRef } from '../core/ids.ts';
import { parse, parseWithIgnored } from '../core/parse.ts';
import type { RegisteredRoute, Registry } from '../core/registry.ts';
import { adminMembers } from './admin-members/contract.ts';
import { adminMessages } from './admin-messages/contract.ts';
import { adminRooms } from './admin-rooms/contract.ts';
import { notifications } from './notifications/contract.ts';
import { revocations } from './revocations/contract.ts';
import { webhooks } from './webhooks/contract.ts';

/** The routes below `/admin`, by the names that they have for a program that embeds the service. */
export const adminRoutes = {
  rooms: {
    put: adminRooms.rest.adminPutRoom,
    list: adminRooms.rest.adminListRooms,
    read: adminRooms.rest.adminReadRoom,
    change: adminRooms.rest.adminChangeRoom,
    delete: adminRooms.rest.adminDeleteRoom,
  },
  members: { put: adminMembers.rest.adminPutMembers },
  messages: {
    send: adminMessages.rest.adminSendMessages,
    edit: adminMessages.rest.adminEditMessage,
    delete: adminMessages.rest.adminDeleteMessage,
    deleteByEmitter: adminMessages.rest.adminDeleteMessagesOfEmitter,
    recipients: notifications.rest.adminFindRecipients,
  },
  users: {
    rooms: notifications.rest.adminListRoomsOfUser,
  },
  revocations: {
    create: revocations.rest.createRevocation,
    list: revocations.rest.listRevocations,
    lift: revocations.rest.liftRevocation,
  },
  webhooks: {
    list: webhooks.rest.listWebhooks,
    command: webhooks.rest.commandWebhook,
    delete: webhooks.rest.deleteWebhook,
  },
} as const satisfies Record<string, Record<string, Route>>;

type Input<R, K extends string> = R extends { readonly [P in K]: infer S extends z.ZodType } ? z.input<S> : undefined;

type ParamNames<Path> = Path extends `${string}/:${infer Name}/${infer Rest}`
  ? [Name, ...ParamNames<`/${Rest}`>]
  : Path extends `${string}/:${infer Name}`
    ? [Name]
    : [];

type ParamValues<Names, Given> = { [N in keyof Names]: Names[N] extends keyof Given ? Given[Names[N]] : never };

/** What a call takes after the parameters of the path: the body, or else the query. */
type Payload<R> = R extends { readonly body: { readonly schema: infer S extends z.ZodType } }
  ? [body: z.input<S>]
  : R extends { readonly query: infer S extends z.ZodType }
    ? Partial<z.input<S>> extends z.input<S>
      ? [query?: z.input<S>]
      : [query: z.input<S>]
    : [];

type Arguments<R extends Route> = [...ParamValues<ParamNames<R['path']>, Input<R, 'params'>>, ...Payload<R>];

/**
 * A route below `/admin` as a function: it takes the parameters of the path, and then the body or the query. It resolves to
 * the answer, and rejects with a `ChatError`, whose `code` is the error code.
 */
type AdminFunction<R extends Route> = (...given: Arguments<R>) => Promise<RestReply<R>>;

/** The server API for the program that embeds the service. */
export type Admin = {
  readonly [G in keyof typeof adminRoutes]: {
    readonly [N in keyof (typeof adminRoutes)[G]]: (typeof adminRoutes)[G][N] extends Route
      ? AdminFunction<(typeof adminRoutes)[G][N]>
      : never;
  };
};

/** Creates the functions. The audit log records each call, as it records each request. */
export function createAdmin({ routes }: Registry, audit: Audit): Admin {
  const functions = mapValues(adminRoutes, (group) =>
    mapValues(group, (route: Route) => {
      const registered = routes.find((one) => one.route === route);
      if (!registered) throw new Error(`no feature implements ${route.method} ${route.path}`);
      return (...given: unknown[]) => call(registered, given, audit);
    }),
  );
  // The cast is safe, because each function parses its input with the schemas of the route.
  return functions as unknown as Admin;
}

const mapValues = <V, R>(object: Readonly<Record<string, V>>, map: (value: V) => R): Record<string, R> =>
  Object.fromEntries(Object.entries(object).map(([name, value]) => [name, map(value)]));

async function call({ name, route, handle }: RegisteredRoute, given: readonly unknown[], audit: Audit) {
  const names = [...route.path.matchAll(/:(\w+)/g)].map(([, name]) => name!);
  const params = Object.fromEntries(names.map((name, n) => [name, given[n]]));
  const payload = given[names.length];
  const room = route.path.startsWith('/admin/rooms/:id') ? (params.id as RoomRef) : undefined;
  const record = (status: number) =>
    audit('admin call', { token: 'in process', operation: name, ...(room !== undefined && { room }), status });
  try {
    const reply = await handle({
      actor: undefined,
      params: route.params && parse(route.params, params),
      query: route.query && parseWithIgnored(route.query, payload ?? {}).data,
      body: route.body && parseWithIgnored(route.body.schema, payload).data,
    });
    record(reply.code);
    return reply;
  } catch (thrown) {
    const error = ChatError.from(thrown);
    record(errors[error.code].http);
    throw error;
  }
}

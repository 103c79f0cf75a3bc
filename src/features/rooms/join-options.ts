import { z } from 'zod';
import type { Actor } from '../../core/authorization.ts';
import type { SocketRequest } from '../../core/contract/socketio.ts';
import type { Feature, JoinCall, JoinOption, JoinOptionHandler, RequestCall } from '../../core/feature.ts';
import type { Subscriber } from '../../core/feed/subscriber.ts';
import type { RoomId } from '../../core/ids.ts';

/** What a feature adds to `room:join`: the key, and how to answer a client that sets it. */
export interface RegisteredJoinOption<Context> {
  name: string;
  read(call: JoinCall<Context>): Promise<(mayRead: MayRead) => unknown>;
}

/** The answers to the options that a client has set, by their names. */
export type JoinAnswers = Record<string, unknown>;
type MayRead = (actor: Actor) => boolean;
export type ReadJoinAnswers = () => Promise<(mayRead: MayRead) => JoinAnswers>;

export const noJoinAnswers: ReadJoinAnswers = async () => () => ({});

export function listJoinOptions<Context>(features: readonly Feature<Context>[]): RegisteredJoinOption<Context>[] {
  return features.flatMap(({ contract, handlers }) =>
    Object.keys(contract.joinOptions).map((name) => ({
      name,
      // The cast is safe, because `implement` has checked the type of the handler.
      read: handlers[`join:${name}`] as unknown as JoinOptionHandler<JoinOption, Context>,
    })),
  );
}

/** Adds the options of all features to the contract of `room:join`. */
export function offerJoinOptions<Context>(features: readonly Feature<Context>[]): Feature<Context>[] {
  const options = features.flatMap(({ contract }) => Object.entries(contract.joinOptions));
  return features.map((feature) => {
    const join = feature.contract.requests['room:join'];
    if (!join) return feature;
    const requests = { ...feature.contract.requests, 'room:join': extendJoin(join, options) };
    return { ...feature, contract: { ...feature.contract, requests } };
  });
}

function extendJoin(join: SocketRequest, options: [string, JoinOption][]): SocketRequest {
  const { payload, ack } = join;
  if (!(payload instanceof z.ZodObject)) throw new Error('The payload of room:join must be an object');
  const asked = options.map(([name, { description }]) => [name, z.boolean().optional().describe(description)]);
  const answered = options.map(([name, { answer }]) => [
    name,
    answer.optional().describe(`Only if \`${name}\` was \`true\`.`),
  ]);
  const documentation = payload.meta();
  const extended = payload.extend(Object.fromEntries(asked));
  return {
    ...join,
    payload: documentation ? extended.meta(documentation) : extended,
    ack: ack.extend(Object.fromEntries(answered)),
  };
}

/**
 * Returns a function that reads the answers to the options of a `room:join`. When they are sent, the connection follows
 * the topics of the options that it has set, and stops following the topics of all others.
 */
export function createJoinAnswers<Context>(
  options: readonly RegisteredJoinOption<Context>[],
  { context, connection, payload }: Pick<RequestCall<SocketRequest, Context>, 'context' | 'connection' | 'payload'>,
  room: RoomId,
  subscriber: Subscriber,
): ReadJoinAnswers {
  const wanted = options.filter(({ name }) => (payload as Record<string, unknown>)[name] === true);
  return async () => {
    const answers = await Promise.all(wanted.map((option) => option.read({ context, room, subscriber })));
    return (mayRead) => {
      for (const option of options) {
        if (wanted.includes(option)) connection.follow(room, option.name);
        else connection.unfollow(room, option.name);
      }
      return Object.fromEntries(wanted.map(({ name }, n) => [name, answers[n]!(mayRead)]));
    };
  };
}

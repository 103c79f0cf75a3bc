import type { z } from 'zod';
import { session } from '../../src/auth/contract.ts';
import { chatFrames as coreFrames } from '../../src/core/contract/chat.ts';
import type { Route } from '../../src/core/contract/rest.ts';
import type { Contract } from '../../src/core/feature.ts';
import { edits } from '../../src/features/edits/contract.ts';
import { inbox } from '../../src/features/inbox/contract.ts';
import { features } from '../../src/features/index.ts';
import { messages } from '../../src/features/messages/contract.ts';
import { reactions } from '../../src/features/reactions/contract.ts';
import { reads } from '../../src/features/reads/contract.ts';
import { rooms } from '../../src/features/rooms/contract.ts';
import { typing } from '../../src/features/typing/contract.ts';
import { transportContracts } from '../../src/transports/http/documents/contract.ts';

/** The contracts of all features, in the order of the documents. */
export const contracts: Contract[] = features.map(({ contract }) => contract);

export interface NamedRoute {
  name: string;
  /** The name of its contract. */
  feature: string;
  route: Route;
}

/** The routes of all features and of the transport itself. */
export const routes: NamedRoute[] = [...contracts, ...transportContracts].flatMap(({ name: feature, rest }) =>
  Object.entries<Route>(rest).map(([name, route]) => ({ name, feature, route })),
);

export const routeTitle = ({ method, path }: Route) => `${method} ${path}`;

/** The Socket.IO events of all features; changes and what every connection receives are not among them. */
export const featureEvents: Record<string, z.ZodType> = Object.assign({}, ...contracts.map(({ events }) => events));

/** All `/chat` frames, those of the features' events included. */
export const chatFrames: Record<string, z.ZodObject> = Object.assign(
  { ...coreFrames },
  ...contracts.map(({ frames }) => frames),
);

const { 'room:join': join } = contracts.find(({ name }) => name === 'rooms')!.requests as typeof rooms.requests;

/** The Socket.IO requests of all features; `room:join` with the options that other features add. */
export const requests = {
  ...rooms.requests,
  'room:join': join,
  ...messages.requests,
  ...edits.requests,
  ...reactions.requests,
  ...inbox.requests,
  ...reads.requests,
  ...typing.requests,
  ...session.requests,
};
export type RequestName = keyof typeof requests;

/** The `/chat` commands of all features. */
export const chatCommands = {
  ...session.commands,
  ...rooms.commands,
  ...messages.commands,
  ...edits.commands,
  ...reactions.commands,
  ...reads.commands,
  ...typing.commands,
};
export type ChatCommandName = keyof typeof chatCommands;

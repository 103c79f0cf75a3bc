import { documentRoutes } from './rest/documents.ts';
import { memberRoutes } from './rest/members.ts';
import { messageRoutes } from './rest/messages.ts';
import { operationRoutes } from './rest/operations.ts';
import { revocationRoutes } from './rest/revocations.ts';
import { roomRoutes } from './rest/rooms.ts';

/** All there is on REST: the routes parse with it, and the documents are made of it. */
export const restRoutes = {
  ...roomRoutes,
  ...memberRoutes,
  ...messageRoutes,
  ...revocationRoutes,
  ...operationRoutes,
  ...documentRoutes,
} as const;

export type RestRouteName = keyof typeof restRoutes;

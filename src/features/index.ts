import { session } from '../auth/handlers.ts';
import { adminMembers } from './admin-members/handlers.ts';
import { adminMessages } from './admin-messages/handlers.ts';
import { adminRooms } from './admin-rooms/handlers.ts';
import { edits } from './edits/handlers.ts';
import { inbox } from './inbox/handlers.ts';
import { members } from './members/handlers.ts';
import { messages } from './messages/handlers.ts';
import { notifications } from './notifications/handlers.ts';
import { operations } from './operations/handlers.ts';
import { presence } from './presence/handlers.ts';
import { reactions } from './reactions/handlers.ts';
import { reads } from './reads/handlers.ts';
import { revocations } from './revocations/handlers.ts';
import { rooms } from './rooms/handlers.ts';
import { offerJoinOptions } from './rooms/join-options.ts';
import { typing } from './typing/handlers.ts';
import { webhooks } from './webhooks/handlers.ts';

/** All features of the server, in the order in which the OpenAPI and AsyncAPI documents list them. */
export const features = offerJoinOptions([
  rooms,
  members,
  messages,
  edits,
  reactions,
  reads,
  inbox,
  typing,
  presence,
  adminRooms,
  adminMembers,
  adminMessages,
  notifications,
  revocations,
  webhooks,
  operations,
  session,
]);

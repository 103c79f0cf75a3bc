import { session } from '../auth/handlers.ts';
import { members } from './members/handlers.ts';
import { messages } from './messages/handlers.ts';
import { operations } from './operations/handlers.ts';
import { revocations } from './revocations/handlers.ts';
import { rooms } from './rooms/handlers.ts';
import { typing } from './typing/handlers.ts';

/** Everything that the service offers; the documents list it in this order. */
export const features = [rooms, members, messages, typing, revocations, operations, session];

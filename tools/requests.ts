import { session } from '../src/auth/contract.ts';
import { messages } from '../src/features/messages/contract.ts';
import { rooms } from '../src/features/rooms/contract.ts';

/** The Socket.IO requests of all features. */
export const requests = { ...rooms.requests, ...messages.requests, ...session.requests };
export type RequestName = keyof typeof requests;

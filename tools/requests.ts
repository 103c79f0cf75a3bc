import type { z } from 'zod';
import { session } from '../src/auth/contract.ts';
import { serverEvents } from '../src/core/contract/socketio.ts';
import { edits } from '../src/features/edits/contract.ts';
import { inbox } from '../src/features/inbox/contract.ts';
import { features } from '../src/features/index.ts';
import { messages } from '../src/features/messages/contract.ts';
import { presence } from '../src/features/presence/contract.ts';
import { reactions } from '../src/features/reactions/contract.ts';
import { reads } from '../src/features/reads/contract.ts';
import { rooms } from '../src/features/rooms/contract.ts';
import { typing } from '../src/features/typing/contract.ts';

const join = rooms.requests['room:join'];
const joinAck = join.ack.extend({
  presence: presence.joinOptions.presence.answer.optional(),
  reads: reads.joinOptions.reads.answer.optional(),
});

/** The Socket.IO requests that the tools send. */
export const requests = {
  ...{ ...rooms.requests, ...messages.requests, ...edits.requests, ...reactions.requests },
  ...{ ...reads.requests, ...inbox.requests, ...typing.requests, ...session.requests },
  'room:join': { ...join, ack: joinAck },
};
export type RequestName = keyof typeof requests;

/** The events that Socket.IO clients receive, with their schemas. */
export const events = new Map<string, z.ZodType>([
  ...Object.entries(serverEvents),
  ...features.flatMap(({ contract }) => Object.entries(contract.events)),
]);

/** The frames of these events on `/chat`. */
export const eventFrames = new Map<string, z.ZodType>(
  features.flatMap(({ contract }) => Object.entries(contract.frames)),
);

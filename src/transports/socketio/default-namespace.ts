import type { Server } from 'socket.io';
import { ChatError } from '../../core/errors.ts';
import { forgetHandshake } from '../../patches/engineio-forget-request.ts';
import type { LiveContext } from '../live-context.ts';
import { toErrorAck } from './error-ack.ts';

/**
 * Serves the default namespace, because load generators and other tools connect to it before the configured namespace.
 * It needs no token and rejects every request. The connection still counts as unauthenticated.
 */
export function answerDefaultNamespace(io: Server, { metrics }: LiveContext): void {
  io.of('/').on('connection', (socket) => {
    forgetHandshake(socket);
    socket.leave(socket.id);
    socket.onAny((...args: unknown[]) => {
      metrics.requested('socketio', 'unknown');
      metrics.refused('socketio', 'BAD_REQUEST');
      const acknowledge = args.at(-1);
      const message = 'The default namespace has no requests: connect to /rooms';
      if (typeof acknowledge === 'function') acknowledge(toErrorAck(new ChatError('BAD_REQUEST', { message })));
    });
  });
}

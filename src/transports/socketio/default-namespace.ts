import type { Server } from 'socket.io';
import { ChatError } from '../../core/errors.ts';
import { forgetHandshake } from '../../patches/engineio-forget-request.ts';
import type { LiveContext } from '../live-context.ts';
import { toErrorAck } from './error-ack.ts';

/**
 * Load generators and other tools open the default namespace before the one that they are told to. It is there, without
 * a token and without anything in it: each request is refused, and the connection still waits for its token.
 */
export function answerDefaultNamespace(io: Server, { metrics }: LiveContext): void {
  io.of('/').on('connection', (socket) => {
    forgetHandshake(socket);
    socket.leave(socket.id);
    socket.onAny((...args: unknown[]) => {
      metrics.requested('socketio', 'unknown');
      metrics.refused('socketio', 'BAD_REQUEST');
      const acknowledge = args.at(-1);
      const message = 'There is nothing in the default namespace: connect to /rooms';
      if (typeof acknowledge === 'function') acknowledge(toErrorAck(new ChatError('BAD_REQUEST', { message })));
    });
  });
}

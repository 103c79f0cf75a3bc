import { fork } from 'node:child_process';
import { join } from 'node:path';
import { closeLater } from '../../test/helpers/cleanup.ts';
import { endProcess } from '../machine/end-process.ts';
import type { Answer, CallName, Calls } from './process.ts';

export type Load = Calls & { pid: number };

const names: CallName[] = [
  ...(['open', 'join', 'closedLoop', 'fullDelivery', 'openLoop', 'failures', 'close'] as const),
  ...(['burst', 'pause', 'resume'] as const),
  ...(['drop', 'comeBack', 'ended', 'ends'] as const),
  ...(['connectInboxes', 'openInboxes', 'reportInboxes'] as const),
];

/** Starts a process for the load; each method runs in it. */
export function startLoad(): Load {
  const child = fork(join(import.meta.dirname, 'process.ts'));
  closeLater(() => endProcess(child));
  const waiting = new Map<number, (answer: Answer) => void>();
  let last = 0;
  child.on('message', (answer: Answer) => {
    waiting.get(answer.id)?.(answer);
    waiting.delete(answer.id);
  });
  const call = (name: CallName, args: unknown[]) =>
    new Promise<unknown>((resolve, reject) => {
      const id = ++last;
      waiting.set(id, (answer) => ('error' in answer ? reject(new Error(answer.error)) : resolve(answer.result)));
      child.once('exit', (code) => reject(new Error(`The load has ended with ${code}`)));
      child.setMaxListeners(100);
      child.send({ id, name, args });
    });
  const calls = Object.fromEntries(names.map((name) => [name, (...args: unknown[]) => call(name, args)]));
  return { ...(calls as unknown as Calls), pid: child.pid! };
}

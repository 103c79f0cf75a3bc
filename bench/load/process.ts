/** The load runs in a separate process, so that it shares only the CPU with the server, not the event loop. */
import { Crowd, type Members } from './crowd.ts';
import { Inboxes } from './inboxes.ts';

export interface Calls {
  open: (members: Members) => ReturnType<Crowd['open']>;
  join: Crowd['join'];
  closedLoop: Crowd['closedLoop'];
  fullDelivery: Crowd['fullDelivery'];
  openLoop: Crowd['openLoop'];
  burst: Crowd['burst'];
  pause: () => Promise<void>;
  resume: Crowd['resume'];
  drop: Crowd['drop'];
  comeBack: Crowd['comeBack'];
  ended: () => Promise<number>;
  ends: () => Promise<Record<string, number>>;
  connectInboxes: Inboxes['connect'];
  openInboxes: Inboxes['open'];
  reportInboxes: () => Promise<ReturnType<Inboxes['report']>>;
  failures: () => Promise<string[]>;
  close: () => Promise<void>;
}

export type CallName = keyof Calls;
export interface Call {
  id: number;
  name: CallName;
  args: unknown[];
}
export type Answer = { id: number; result: unknown } | { id: number; error: string };

let crowd: Crowd | undefined;
const inboxes = new Inboxes();

const calls: Calls = {
  async open(members) {
    crowd ??= new Crowd(members.dialect);
    return crowd.open(members);
  },
  join: (...args) => crowd!.join(...args),
  closedLoop: (...args) => crowd!.closedLoop(...args),
  fullDelivery: (...args) => crowd!.fullDelivery(...args),
  openLoop: (...args) => crowd!.openLoop(...args),
  burst: (...args) => crowd!.burst(...args),
  pause: async () => crowd!.pause(),
  resume: () => crowd!.resume(),
  drop: () => crowd!.drop(),
  comeBack: (...args) => crowd!.comeBack(...args),
  ended: async () => crowd!.ended,
  ends: async () => crowd!.ends,
  connectInboxes: (...args) => inboxes.connect(...args),
  openInboxes: (...args) => inboxes.open(...args),
  reportInboxes: async () => inboxes.report(),
  failures: async () => crowd?.failures ?? [],
  async close() {
    crowd?.close();
    crowd = undefined;
  },
};

process.on('message', ({ id, name, args }: Call) => {
  (calls[name] as (...args: unknown[]) => Promise<unknown>)(...args).then(
    (result) => process.send!({ id, result } satisfies Answer),
    (error: Error) => process.send!({ id, error: error.message } satisfies Answer),
  );
});
process.on('disconnect', () => process.exit());

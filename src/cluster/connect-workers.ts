import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { createFailureLog } from '../observability/failure-log.ts';
import { Heartbeat } from './heartbeat.ts';
import { createNodeList } from './node-list.ts';
import { PeerRooms, type RoomChanges } from './peer-rooms.ts';
import { createConnectionLeases, createSharedSpending } from './shared-limits.ts';
import type { SharedCommands } from './shared-store.ts';
import { type BusEvents, createSocketioRoomBus } from './socketio-room-bus.ts';
import type { WorkerLink } from './worker-link.ts';
import { createWorkersAdapter } from './workers-adapter.ts';

interface Collaborators {
  link: WorkerLink;
  logger: Logger;
  events: BusEvents & { lost(): void };
}

const prefix = 'nano';

/** Connects a worker with the other workers of its machine, through the primary process. */
export async function connectWorkers({ link, logger, events }: Collaborators) {
  const nodeId = randomBytes(6).toString('hex');
  const roomBus = createSocketioRoomBus(events, nodeId);
  const { bus, signals } = roomBus;
  const publishLog = createFailureLog(logger, {
    failing: 'publishing to the other workers failed; they receive the change by reconciliation',
    recovered: 'publishing to the other workers works again',
  });
  const linkLog = createFailureLog(logger, {
    failing: 'the primary process does not answer; changes of other workers arrive by reconciliation',
    recovered: 'the primary process answers again',
  });
  let isUp = true;
  const store = {
    get isUp() {
      return isUp;
    },
    connection: createCommands(link),
    handleWriteFailure() {},
  };
  const report = { failed() {}, recovered() {} };
  const leases = createConnectionLeases(() => store, nodeId, prefix, report);

  function resume(): void {
    leases.renewAll();
    roomBus.onResumed();
  }

  function handleBeat(): void {
    heartbeat.handleBeat();
    if (isUp) return;
    isUp = true;
    linkLog.recovered();
    resume();
  }

  const heartbeat = new Heartbeat({
    sendBeat: () => void link.call('beat').then(handleBeat, () => {}),
    onSilent() {
      isUp = false;
      linkLog.failed(new Error('the primary process does not answer'));
    },
  });
  const peers = new PeerRooms();
  link.answer('peerRooms', ([peer, changes]) => peers.update(peer as number, (changes ?? undefined) as RoomChanges));
  const adapter = createWorkersAdapter({
    peers,
    // The call fails only if the primary ends, and then this process ends, too.
    subscribe: (changes) => link.call('rooms', changes).catch(() => {}),
    onSubscribed: (room) => roomBus.onSubscribed(`#${room}#`),
    onLost(error) {
      roomBus.onLost();
      events.lost();
      publishLog.failed(error);
    },
    onRecovered: () => publishLog.recovered(),
  });
  roomBus.attach({
    ...{ adapter: adapter.create, publishDroppable: adapter.publishDroppable },
    hasReceivers: (room) => peers.serve(room),
  });
  await adapter.subscribed();
  // The primary has dropped messages for this worker, or another worker has ended before it published its last changes.
  link.answer('missed', () => roomBus.onResumed());
  return {
    ...{ bus, signals, leases },
    spending: createSharedSpending(() => store, prefix, report),
    ephemeral: {
      ...roomBus.ephemeral,
      ...createNodeList(() => store, nodeId, prefix, report),
      get isUp() {
        return isUp;
      },
    },
    get isUp() {
      return isUp;
    },
    get pendingPublishes() {
      return adapter.pending;
    },
    get droppedPublishes() {
      return adapter.dropped;
    },
    async close() {
      heartbeat.stop();
      leases.stop();
      roomBus.close();
    },
  };
}

function createCommands(link: WorkerLink): SharedCommands {
  const run = (command: keyof SharedCommands, ...args: unknown[]) => link.call<number>('store', command, args);
  return {
    lease: (...args) => run('lease', ...args),
    countLeases: (...args) => run('countLeases', ...args),
    spend: (...args) => run('spend', ...args),
    enlist: (...args) => run('enlist', ...args),
    zRem: (...args) => run('zRem', ...args),
  };
}

import { ChatClientError } from '../../../src/client/errors.ts';
import type { OfflineState } from '../../../src/client/offline.ts';
import type { StorageOp } from '../../../src/client/storage-records.ts';
import { me } from '../../helpers/fake-room.ts';
import type { Json } from '../../helpers/json.ts';
import { FakeService, installFakeTabs, SharedStorage, Tab } from '../../helpers/offline-tabs.ts';
import { describeStates, type Machine } from '../../helpers/state-tables.ts';

type Fault = 'none' | 'full' | 'broken';

describe('the storage states of the client', () => {
  let restore: () => void;
  const tabs: Tab[] = [];

  beforeEach(() => {
    restore = installFakeTabs();
  });
  afterEach(() => {
    for (const tab of tabs.splice(0)) tab.crash();
    restore();
  });

  class StorageMachine implements Machine {
    readonly service = new FakeService();
    readonly storage = new SharedStorage();
    tab!: Tab;
    /** Lets the storage open, or not. */
    settle!: { resolve(): void; reject(error: Error): void };
    fault: Fault = 'none';
    #actions: string[] = [];

    constructor() {
      this.service.send('stored');
    }

    /** A room is stored, and the storage of the next tab is opening. */
    async create(): Promise<void> {
      const first = this.#createTab();
      await first.open();
      first.connect();
      await first.caughtUp();
      first.close();
      await first.stored();
      const opening = Promise.withResolvers<void>();
      this.settle = opening;
      this.storage.fail = (call, ops) => (call === 'open' ? opening.promise : this.#handleCall(call, ops));
      this.tab = this.#createTab();
      this.tab.room(7).rejoin();
    }

    async reach(state: OfflineState): Promise<void> {
      await this.create();
      if (state === 'opening') return;
      await this.open(state !== 'memory');
      if (state === 'full') await this.change('full');
      if (state === 'closed') this.tab.close();
      await this.tab.stored();
      this.fault = 'none';
    }

    state(): OfflineState {
      return this.tab.engine.state;
    }

    takeActions(): string[] {
      return [...new Set(this.#actions.splice(0))];
    }

    async open(isWorking: boolean): Promise<boolean> {
      if (this.state() !== 'opening') return false;
      if (isWorking) this.settle.resolve();
      else this.settle.reject(new Error('broken'));
      await this.tab.engine.opened;
      if (this.tab.contents().length > 0) this.#actions.push('show what is stored');
      return true;
    }

    async send(fault: Fault): Promise<boolean> {
      if (this.state() === 'closed') return false;
      this.fault = fault;
      this.tab.room(7).send('a message');
      await this.tab.stored();
      return true;
    }

    async change(fault: Fault): Promise<boolean> {
      if (this.state() === 'closed' || this.state() === 'opening') return false;
      this.fault = fault;
      this.service.send('another message');
      this.tab.connect();
      await this.tab.caughtUp();
      this.tab.disconnect();
      await this.tab.stored();
      return true;
    }

    #handleCall(call: string, ops: readonly StorageOp[]): void {
      if (this.fault === 'broken') throw new Error('broken');
      if (this.fault === 'full') throw Object.assign(new Error('full'), { name: 'QuotaExceededError' });
      if (call === 'clear') this.#actions.push('delete everything');
      for (const op of ops) {
        if (!('put' in op)) continue;
        if (op.put.key.startsWith('outbox:')) this.#actions.push('write the message');
        if (op.put.key.endsWith('/position')) this.#actions.push('write the room');
      }
    }

    #createTab(): Tab {
      const tab = new Tab(this.service, this.storage);
      tabs.push(tab);
      return tab;
    }
  }

  const isWriting = (machine: StorageMachine) => machine.state() === 'ok' || machine.state() === 'full';

  describeStates<StorageMachine>({
    name: 'Storage',
    create: () => new StorageMachine(),
    states: {
      opening: (machine) => machine.reach('opening'),
      ok: (machine) => machine.reach('ok'),
      full: (machine) => machine.reach('full'),
      memory: (machine) => machine.reach('memory'),
      closed: (machine) => machine.reach('closed'),
    },
    events: {
      'the storage opens': (machine) => machine.open(true),
      'the storage does not open': (machine) => machine.open(false),
      'the user sends a message': (machine) => machine.send('none'),
      'a room changes': (machine) => machine.change('none'),
      'the storage has no space, and there is no room to delete': (machine) =>
        isWriting(machine) && machine.send('full'),
      'a write fails for another reason': (machine) => isWriting(machine) && machine.send('broken'),
      async 'the service refuses all tokens, after the token was revoked'({ tab }) {
        if (tab.engine.state === 'opening') return false;
        tab.state = 'unauthorized';
        tab.emit('error', new ChatClientError('TOKEN_REVOKED', 'revoked'));
        await tab.stored();
        return true;
      },
      async '`logout()` is called'({ tab }) {
        await tab.engine.clear();
        return true;
      },
      async 'another tab calls `logout()`'({ tab, storage }) {
        const { BroadcastChannel } = globalThis as Json;
        new BroadcastChannel(`nano:${storage.name}:${me}`).postMessage({ type: 'logout' });
        await tab.stored();
        return true;
      },
      'the client is closed': ({ tab }) => {
        tab.close();
        return true;
      },
    },
  });
});

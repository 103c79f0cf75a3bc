import { expect } from 'chai';
import { ChatClientError } from '../../../src/client/errors.ts';
import { MemoryStorage } from '../../../src/client/memory-storage.ts';
import type { Storage } from '../../../src/client/storage-records.ts';
import type { Json } from '../../helpers/json.ts';
import { FakeService, installFakeTabs, readStored, SharedStorage, Tab } from '../../helpers/offline-tabs.ts';
import { waitUntil } from '../../helpers/wait-until.ts';

const outboxOf = (tab: Tab) => tab.room(7).outbox.map(({ content, state, saved }) => ({ content, state, saved }));
const quotaError = () => Object.assign(new Error('full'), { name: 'QuotaExceededError' });

describe('the storage of the client', () => {
  let restore: () => void;
  let service: FakeService;
  let storage: SharedStorage;
  let tabs: Tab[];

  beforeEach(() => {
    restore = installFakeTabs();
    service = new FakeService();
    storage = new SharedStorage();
    tabs = [];
  });
  afterEach(() => {
    for (const tab of tabs) tab.close();
    restore();
  });

  function createTab(...args: [Storage?, ConstructorParameters<typeof Tab>[2]?]): Tab {
    const tab = new Tab(service, args[0] ?? storage, args[1]);
    tabs.push(tab);
    return tab;
  }

  /** The tab, the storage and the service have the same messages. */
  async function expectSame(...expected: Tab[]): Promise<void> {
    const wire = service.messages.map(({ seq, content, reactions = [] }) => ({ seq, content, reactions }));
    const pick = (messages: readonly Json[]) =>
      messages.map(({ seq, content, reactions }) => ({ seq, content, reactions }));
    for (const tab of expected) expect(pick(tab.room(7).messages as Json[])).to.deep.equal(wire);
    const stored = await readStored(storage);
    expect(pick(stored.messages)).to.deep.equal(wire.slice(-200));
    expect([stored.rev, stored.hasOlder]).to.deep.equal([service.rev, wire.length > 200]);
  }

  it('shows the room before a connection, and then catches up from the stored position', async () => {
    service.send('one');
    service.send('two');
    const first = createTab();
    await first.open();
    first.connect();
    await first.caughtUp();
    service.react(1, 2);
    service.edit(2, 'two, edited');
    await first.caughtUp();
    first.crash();
    service.send('three');

    const second = createTab();
    const room = await second.open();
    expect(second.contents()).to.deep.equal(['one', 'two, edited']);
    expect(room.messages[0]!.reactions).to.deep.equal([{ emoji: '+', count: 2 }]);
    expect([room.info?.name, room.rights, room.state, room.hasOlder]).to.deep.equal(['a room', 'rw', 'joining', false]);
    const received: string[] = [];
    room.on('message', ({ content }) => void received.push(content));
    room.on('reset', () => void received.push('reset'));
    second.connect();
    await second.caughtUp();
    expect(received).to.deep.equal(['three']);
    await expectSame(second);
  });

  it('stores what arrived just before the connection was lost', async () => {
    service.send('one');
    const first = createTab();
    const room = await first.open();
    first.connect();
    await waitUntil('it is joined', () => room.state === 'joined');
    first.disconnect();
    await waitUntil('it is stored', async () => (await readStored(storage)).messages.length > 0);
    first.crash();
    const second = createTab();
    await second.open();
    expect(second.contents()).to.deep.equal(['one']);
  });

  it('finds a room by the reference under which it was opened, and by its UUID', async () => {
    service.send('one');
    const first = createTab();
    const keyed = first.room('key:lobby');
    keyed.rejoin();
    first.connect();
    await waitUntil('it is joined', () => keyed.state === 'joined');
    await first.stored();
    first.crash();
    const second = createTab();
    for (const ref of ['key:lobby', 'a-uuid', 7]) {
      const room = await second.open(ref);
      expect(
        room.messages.map(({ content }) => content),
        String(ref),
      ).to.deep.equal(['one']);
    }
    expect((await second.open('key:other')).messages).to.deep.equal([]);
  });

  it('keeps the newest 200 messages, and knows where the history begins', async () => {
    for (let n = 1; n <= 150; n++) service.send(`${n}`);
    const tab = createTab();
    const room = await tab.open();
    tab.connect();
    await tab.caughtUp();
    // The page has 100 messages.
    expect(await readStored(storage)).to.include({ hasOlder: true });
    await room.loadOlder();
    await tab.stored();
    await expectSame(tab);
    for (let n = 151; n <= 250; n++) service.send(`${n}`);
    await tab.caughtUp();
    await expectSame(tab);
    expect(
      (await storage.open(tab.connection.claims.user)).filter(({ key }) => key.includes('message')),
    ).to.have.length(200);
  });

  it('stores nothing with a gap while the newest messages are not loaded', async () => {
    for (let n = 1; n <= 150; n++) service.send(`${n}`);
    const tab = createTab();
    tab.connection.limits.keep = 100;
    const room = await tab.open();
    tab.connect();
    await tab.caughtUp();
    await room.loadOlder();
    expect(room.hasNewer).to.equal(true);
    service.send('newest');
    await tab.caughtUp();
    const stored = await readStored(storage);
    expect([stored.rev, stored.messages.at(-1)!.content]).to.deep.equal([150, '150']);
    await room.loadNewer();
    await tab.stored();
    expect((await readStored(storage)).messages.map(({ seq }) => seq).slice(-3)).to.deep.equal([149, 150, 151]);
  });

  it('shows each part when it has read it, and lets the client connect after 2 s although there is more to read', async () => {
    service.send('one');
    const first = createTab();
    await first.open();
    first.connect();
    await first.caughtUp();
    first.crash();
    const records = await storage.open(first.connection.claims.user);
    const ofRooms = records.filter(({ key }) => key.startsWith('room:'));
    const rooms = Promise.withResolvers<void>();
    const rest = Promise.withResolvers<void>();
    const open: Storage['open'] = async (_, onRecords) => {
      onRecords(records.filter((record) => !ofRooms.includes(record)));
      await rooms.promise;
      onRecords(ofRooms);
      await rest.promise;
      return [];
    };
    const name = storage.name;
    const before = performance.now();
    const tab = createTab({
      name,
      open,
      write: (...args) => storage.write(...args),
      clear: (user) => storage.clear(user),
    });
    const room = tab.room(7);
    room.rejoin();
    expect(tab.contents()).to.deep.equal([]);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    rooms.resolve();
    await waitUntil('the room is shown', () => tab.contents().length === 1);
    await tab.engine.opened;
    expect(performance.now() - before).to.be.at.least(1_900);
    expect([tab.engine.state, tab.states]).to.deep.equal(['opening', []]);
    tab.connect();
    service.send('two');
    await waitUntil('it is live', () => tab.contents().length === 2);
    rest.resolve();
    await waitUntil('everything is read', () => tab.states.length > 0);
    await tab.caughtUp();
    expect(tab.states).to.deep.equal(['ok']);
    await expectSame(tab);
  });

  describe('of several tabs', () => {
    /** Numbers that look random, the same for the same seed. */
    const createRandom = (seed: number) => () => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return seed / 2_147_483_648;
    };

    /** What must be the same in the service, the storage and each tab. */
    const pickState = ({ seq, content, version, deletedAt = null, reactions = [] }: Json) => ({
      ...{ seq, content, version, deletedAt, reactions },
    });

    /** Each message is as it was at this position of the log, or later. */
    function expectSince(rev: number, messages: readonly Json[], what: string): void {
      for (const message of messages) {
        const states = service.statesSince(rev, message.seq).map(({ content, reactions = [] }) => [content, reactions]);
        expect(states, what).to.deep.include([message.content, message.reactions]);
      }
    }

    const changes: Record<string, (n: number) => void> = {
      'an edit': (n) => service.edit(1, `edit ${n}`),
      'a reaction': (n) => service.react(1, n),
      'a deletion': (n) => (n === 1 ? service.edit(1, 'edit 1') : service.delete(1)),
    };
    for (const [name, change] of Object.entries(changes))
      it(`keeps the newer state of a message after ${name} if a tab that is behind writes last`, async () => {
        service.send('one');
        const [behind, ahead] = [createTab(), createTab()];
        for (const tab of [behind, ahead]) {
          await tab.open();
          tab.connect();
          await tab.caughtUp();
        }
        change(1);
        await waitUntil('the tab has the first change', () => behind.room(7).rev === 2);
        behind.disconnect();
        change(2);
        await ahead.caughtUp();
        await behind.stored();
        const { messages, rev } = await readStored(storage);
        expect(rev).to.equal(3);
        expect(messages.map(pickState)).to.deep.equal(service.messages.map(pickState));
      });

    it('stores the messages of its position, whatever the order in which tabs change them, fall behind, write, crash and reload', async function () {
      this.timeout(120_000);
      for (let seed = 1; seed <= 6; seed++) {
        service = new FakeService();
        service.maxReplay = seed % 3 === 0 ? 4 : 500;
        storage = new SharedStorage();
        const random = createRandom(seed);
        const pick = (count: number) => Math.floor(random() * count);
        const running: Tab[] = [];
        const open = async (n: number) => {
          running[n] = createTab();
          await running[n].open();
          if (pick(4) > 0) running[n].connect();
        };
        for (const n of [0, 1, 2]) await open(n);
        let sent = 0;
        const onService = [
          () => service.send('text'),
          ...[1, 2, 3].map(() => (seq: number, step: number) => service.edit(seq, `edit ${step}`)),
          ...[1, 2].map(() => (seq: number, step: number) => service.react(seq, step)),
          (seq: number) => service.delete(seq),
        ];
        const pause = () => new Promise((resolve) => setTimeout(resolve, 110));
        for (let step = 0; step < 80; step++) {
          const n = pick(3);
          const tab = running[n]!;
          const room = tab.room(7);
          const [seq = 0] = service.messages
            .flatMap(({ seq, deletedAt }) => (deletedAt ? [] : seq))
            .slice(-1 - pick(2));
          const isKnown = room.messages.some((message) => message.seq === seq && !message.deletedAt);
          const crash = async () => {
            tab.crash();
            await open(n);
          };
          const onRunning: (() => unknown)[] = [
            () => tab.connect(),
            () => tab.connect(),
            () => tab.disconnect(),
            ...[1, 2, 3].map(() => () => tab.stored()),
            // What it writes when it is hidden is stored when it is thawed.
            ...[1, 2, 3].map(() => () => {
              tab.freeze();
              tab.hide();
            }),
            () => isKnown && room.edit(seq, `own edit ${step}`),
            () => isKnown && room.delete(seq),
            async () => {
              room.send(`own ${step}`);
              sent++;
              await waitUntil('it is saved', () => room.outbox.every(({ saved }) => saved));
            },
            pause,
            crash,
            async () => {
              tab.close();
              await tab.stored();
              await open(n);
            },
          ];
          // A frozen tab does nothing.
          const onTab = tab.isFrozen ? [tab.thaw, pause, crash] : onRunning;
          const isOnService = pick(5) < 2;
          if (!isOnService) await onTab[pick(onTab.length)]!.call(tab);
          else if (seq === 0) service.send('text');
          else onService[pick(onService.length)]!(seq, step);
          await new Promise((resolve) => setImmediate(resolve));
          // What a tab would show that is opened now is a part of the history, as it was at its position.
          const { messages, hasOlder, rev } = await readStored(storage);
          const seqs = messages.map(({ seq }) => seq);
          expect(seqs, `seed ${seed}`).to.deep.equal(seqs.map((_, n) => seqs[0] + n));
          expect(hasOlder || seqs.length === 0 || seqs[0] === 1, `seed ${seed}`).to.equal(true);
          expectSince(rev, messages, `stored at step ${step}, seed ${seed}`);
        }
        // One after the other, in this order, so that the last one is behind.
        for (const tab of running) {
          tab.thaw();
          tab.connect();
          await tab.caughtUp();
        }
        const own = () => service.messages.filter(({ client_msg_id }) => client_msg_id !== null);
        await waitUntil(`${sent} are sent, seed ${seed}`, () => own().length >= sent, 15_000);
        expect(own().length, `seed ${seed}`).to.equal(sent);
        const isDone = () => running.every((tab) => tab.room(7).queue.changes.size === 0);
        await waitUntil(`all changes are sent, seed ${seed}`, isDone, 15_000);
        for (const tab of running) await tab.caughtUp();
        service.send('last');
        for (const tab of running) await tab.caughtUp();
        const { messages, rev } = await readStored(storage);
        expect(rev, `seed ${seed}`).to.equal(service.rev);
        const expected = service.messages.map(pickState);
        for (const shown of [messages, ...running.map((tab) => tab.room(7).messages as Json[])]) {
          expect(shown.length, `seed ${seed}`).to.be.greaterThan(0);
          expect(shown.map(pickState), `seed ${seed}`).to.deep.equal(expected.slice(-shown.length));
        }
        for (const tab of running) tab.close();
      }
    });
  });

  describe('with unsent messages', () => {
    it('sends them after a crash under the same ids, in their order, and shows them until then', async () => {
      const first = createTab();
      const room = await first.open();
      const ids = ['a', 'b', 'c'].map((content) => room.send(content).client_msg_id);
      expect(outboxOf(first)[0]).to.deep.equal({ content: 'a', state: 'pending', saved: false });
      await waitUntil('they are saved', () => outboxOf(first).every(({ saved }) => saved));
      first.crash();

      const second = createTab();
      const restored = second.room(7);
      restored.send('d');
      await second.open();
      expect(outboxOf(second).map(({ content, state }) => `${content} ${state}`)).to.deep.equal(
        ['a', 'b', 'c', 'd'].map((content) => `${content} pending`),
      );
      second.connect();
      await second.caughtUp();
      await waitUntil('they are sent', () => restored.outbox.length === 0 && service.messages.length === 4);
      expect(service.messages.slice(0, 3).map(({ client_msg_id }) => client_msg_id)).to.deep.equal(ids);
      await second.caughtUp();
      await expectSame(second);
      second.crash();
      const third = createTab();
      await third.open();
      expect(outboxOf(third)).to.deep.equal([]);
    });

    it('sends them although the application does not open the room', async () => {
      const first = createTab();
      (await first.open()).send('a');
      await first.stored();
      first.crash();
      const second = createTab();
      await second.engine.opened;
      second.connect();
      await waitUntil('it is sent', () => service.messages.length === 1);
    });

    it('keeps a failed message with its error, and forgets it when it is discarded', async () => {
      const first = createTab();
      await first.open();
      first.connect();
      await first.caughtUp();
      service.refusal = new ChatClientError('TOO_LARGE', 'too large', { field: 'content' });
      first.room(7).send('large');
      await waitUntil('it has failed', () => outboxOf(first)[0]?.state === 'failed');
      await first.stored();
      first.crash();
      const second = createTab();
      const room = await second.open();
      expect(room.outbox.map(({ error }) => [error?.code, error?.field])).to.deep.equal([['TOO_LARGE', 'content']]);
      room.outbox[0]!.discard();
      await second.stored();
      second.crash();
      const third = createTab();
      expect((await third.open()).outbox).to.deep.equal([]);
    });

    it('fails a message that is older than outboxHours when it could be sent, and sends the next one', async () => {
      const first = createTab();
      (await first.open()).send('old');
      await first.stored();
      first.crash();
      const [record] = (await storage.open(first.connection.claims.user)).filter(({ key }) => /^outbox/.test(key));
      const saved = JSON.parse(record!.value);
      const value = JSON.stringify({ ...saved, at: saved.at - 24.1 * 3_600_000 });
      await storage.write([{ put: { ...record!, value } }], first.connection.claims.user);

      const second = createTab();
      const room = await second.open();
      room.send('new');
      expect(outboxOf(second).map(({ state }) => state)).to.deep.equal(['pending', 'pending']);
      second.connect();
      await waitUntil('the new one is sent', () => service.messages.length === 1);
      expect(room.outbox[0]).to.include({ content: 'old', state: 'failed' });
      expect(room.outbox[0]!.error?.code).to.equal('EXPIRED');
      room.outbox[0]!.retry();
      await waitUntil('the old one is sent', () => service.messages.length === 2);
    });

    it('leaves them to the next client when the client is closed', async () => {
      const first = createTab();
      const room = await first.open();
      room.send('a');
      first.close();
      expect(room.outbox[0]!.error?.code).to.equal('CLOSED');
      await first.stored();
      const second = createTab();
      await second.open();
      expect(outboxOf(second).map(({ content, state }) => `${content} ${state}`)).to.deep.equal(['a pending']);
    });

    it('does not take them from a frozen tab, and takes them over while it runs from one that crashes', async () => {
      const [first, second] = [createTab(), createTab()];
      await second.open();
      (await first.open()).send('a');
      await first.stored();
      first.freeze();
      second.connect();
      await second.caughtUp();
      await new Promise((resolve) => setTimeout(resolve, 1_200));
      expect(service.messages).to.deep.equal([]);
      first.crash();
      const third = createTab();
      await third.open();
      third.connect();
      await waitUntil('it is sent', () => service.messages.length === 1);
      expect(service.messages[0]).to.include({ content: 'a' });
    });

    for (const [title, platform] of [
      ['with heartbeats, if there are no Web Locks', { hasLocks: false }],
      ['at once, if there are no tabs', { hasLocks: false, hasChannels: false }],
    ] as const)
      it(`takes them over ${title}`, async () => {
        restore();
        restore = installFakeTabs(platform);
        const first = createTab();
        (await first.open()).send('a');
        await new Promise((resolve) => setTimeout(resolve, 300));
        await first.stored();
        first.crash();
        const second = createTab();
        await second.open();
        const isTabKnown = !('hasChannels' in platform);
        expect(outboxOf(second)).to.have.length(isTabKnown ? 0 : 1);
        if (!isTabKnown) return;
        second.crash();
        const { now } = Date;
        Date.now = () => now() + 16_000;
        try {
          const third = createTab();
          await third.open();
          expect(outboxOf(third)).to.have.length(1);
        } finally {
          Date.now = now;
        }
      });
  });

  describe('of a room that the user may no longer read', () => {
    const isStored = async () => (await readStored(storage)).messages.length > 0;

    async function createMember(): Promise<Tab> {
      service.send('secret');
      const tab = createTab();
      await tab.open();
      tab.connect();
      await tab.caughtUp();
      expect(await isStored()).to.equal(true);
      return tab;
    }

    it('is deleted when the user is removed, and stays so when the room is idle', async () => {
      const tab = await createMember();
      tab.room(7).onEvent('room:removed', { room_id: 7, code: 'BANNED' } as never);
      await tab.stored();
      expect(await isStored()).to.equal(false);
      tab.room(7).leave();
      await tab.stored();
      expect(await isStored()).to.equal(false);
      tab.room(7).rejoin();
      await tab.caughtUp();
      expect(await isStored()).to.equal(true);
    });

    it('is deleted when the join is refused, but not when a limit is reached', async () => {
      (await createMember()).crash();
      for (const [code, expected] of [
        ['TOO_MANY_ROOMS', true],
        ['FORBIDDEN', false],
      ] as const) {
        const tab = createTab();
        await tab.open();
        expect(tab.contents()).to.deep.equal(['secret']);
        service.refusal = new ChatClientError(code, code);
        tab.connect();
        await waitUntil('it is rejected', () => tab.room(7).state === 'rejected');
        await tab.stored();
        expect(await isStored(), code).to.equal(expected);
        tab.crash();
      }
    });

    it('is deleted when it leaves the inbox', async () => {
      const tab = await createMember();
      tab.room(7).leave();
      for (const part of tab.parts) part.onEvent('inbox:removed', { room_id: 7, code: 'BANNED' } as never);
      await tab.stored();
      expect(await isStored()).to.equal(false);
    });
  });

  it('shows nothing of another user', async () => {
    service.send('secret');
    const ada = createTab();
    (await ada.open()).send('unsent');
    ada.connect();
    await ada.caughtUp();
    ada.room(7).send('still unsent');
    ada.crash();
    const ben = createTab(storage, { user: 'ben' });
    const room = await ben.open();
    expect([room.messages, room.outbox, room.info]).to.deep.equal([[], [], undefined]);
  });

  it('deletes everything on logout, also of the other tabs, and closes them', async () => {
    service.send('secret');
    const [first, second] = [createTab(), createTab()];
    for (const tab of [first, second]) {
      await tab.open();
      tab.connect();
      await tab.caughtUp();
    }
    second.disconnect();
    second.room(7).send('unsent');
    await second.stored();
    const cleared = first.engine.clear();
    first.close();
    await cleared;
    await waitUntil('the other tab is closed', () => second.state === 'closed');
    await second.stored();
    expect(await storage.open(first.connection.claims.user)).to.deep.equal([]);
  });

  it('deletes everything when the token is revoked, and stores again after the next connection', async () => {
    const revoked = new ChatClientError('TOKEN_REVOKED', 'revoked');
    for (const end of ['unauthorized', 'no token']) {
      service.send('secret');
      const tab = createTab();
      const room = await tab.open();
      tab.connect();
      await tab.caughtUp();
      tab.disconnect();
      room.send('unsent');
      await tab.stored();
      tab.emit('error', revoked);
      await tab.stored();
      // The backend may return another token.
      expect((await readStored(storage)).messages, end).to.have.length(1);
      if (end === 'unauthorized') {
        tab.state = 'unauthorized';
        tab.emit('error', revoked);
      } else tab.emit('error', new ChatClientError('NO_TOKEN', 'signed out'));
      await tab.stored();
      expect(await storage.open(tab.connection.claims.user), end).to.deep.equal([]);
      expect(room.outbox.map(({ saved }) => saved)).to.deep.equal([false]);
      tab.connect();
      await waitUntil('it is sent', () => room.outbox.length === 0);
      await tab.caughtUp();
      expect((await readStored(storage)).messages, end).to.have.length(2);
      tab.crash();
      service = new FakeService();
      storage = new SharedStorage();
    }
  });

  describe('that fails', () => {
    it('is replaced by memory if it does not open within 2 s, and the client connects', async () => {
      storage.fail = () => new Promise(() => {});
      const tab = createTab();
      const before = performance.now();
      const room = await tab.open();
      expect(performance.now() - before).to.be.at.least(1_900);
      expect(tab.states).to.deep.equal(['memory']);
      room.send('a');
      tab.connect();
      await waitUntil('it is sent', () => service.messages.length === 1);
      storage.fail = () => {};
    });

    it('never keeps the client from working, whichever call fails, and loses nothing that it has stored', async () => {
      const countCalls = async (failing: number): Promise<number> => {
        service = new FakeService();
        storage = new SharedStorage();
        service.send('one');
        service.send('two');
        let calls = 0;
        storage.fail = () => {
          if (++calls === failing) throw new Error('broken');
        };
        const first = createTab();
        const room = await first.open();
        room.send('three');
        await first.stored();
        first.connect();
        await first.caughtUp();
        service.edit(1, 'one, edited');
        await first.caughtUp();
        first.disconnect();
        room.send('four');
        await first.stored();
        const isSaved = room.outbox[0]!.saved;
        expect(isSaved || first.states.at(-1) === 'memory', `call ${failing}`).to.equal(true);
        if (failing <= calls) expect(first.states.at(-1), `call ${failing}`).to.equal('memory');
        first.crash();
        storage.fail = () => {};
        service.send('five');
        const second = createTab();
        await second.open();
        second.connect();
        await second.caughtUp();
        await waitUntil('it is sent', () => second.room(7).outbox.length === 0);
        await second.caughtUp();
        const contents = service.messages.map(({ content }) => content);
        expect(contents.slice().sort(), `call ${failing}`).to.deep.equal(
          ['one, edited', 'two', 'three', 'five', ...(isSaved ? ['four'] : [])].sort(),
        );
        await expectSame(second);
        second.crash();
        return calls;
      };
      const calls = await countCalls(Number.POSITIVE_INFINITY);
      expect(calls).to.be.within(5, 30);
      for (let failing = 1; failing <= calls; failing++) await countCalls(failing);
    }).timeout(60_000);

    it('is full if only the pending messages fit, deletes the oldest rooms first, and never a pending message', async () => {
      const sizeOf = async () =>
        (await storage.open('x')).reduce((sum, { key, value }) => sum + key.length + value.length, 0);
      const old = (id: number, at: number) => [
        { put: { key: `room:${id}/message:1`, version: 1, value: 'x'.repeat(1_000) } },
        { put: { key: `room:${id}/position`, version: 1, value: JSON.stringify({ cursor: '', last: 1, at }) } },
      ];
      await storage.write([...old(1, 20), ...old(2, 10), ...old(3, 30)], 'x');
      const maxSize = (await sizeOf()) + 50;
      const tab = createTab(storage, { maxSize, user: 'x' });
      const rooms = async () => [
        ...new Set((await storage.open('x')).flatMap(({ key }) => /^room:(\d+)/.exec(key)?.[1] ?? [])),
      ];
      const room = await tab.open();
      room.send('pending');
      await tab.stored();
      expect([await rooms(), outboxOf(tab)[0]!.saved]).to.deep.equal([['1', '3'], true]);
      for (let n = 1; n <= 6; n++) room.send('pending '.repeat(100));
      await tab.stored();
      expect(await rooms()).to.deep.equal([]);
      expect(outboxOf(tab).every(({ saved }) => saved)).to.equal(true);
      expect(await sizeOf()).to.be.greaterThan(maxSize);
      expect(tab.states).to.deep.equal(['ok']);
      // The pending messages fill the storage, so there is no space for the room.
      const stopped = tab.connection.limits;
      stopped.outboxHours = 0;
      await new Promise((resolve) => setTimeout(resolve, 5));
      service.send('hello');
      tab.connect();
      await tab.caughtUp();
      expect([await rooms(), tab.states]).to.deep.equal([[], ['ok', 'full']]);
      for (const outgoing of room.outbox) outgoing.discard();
      await tab.stored();
      service.send('more');
      await tab.caughtUp();
      expect([await rooms(), tab.states]).to.deep.equal([['7'], ['ok', 'full', 'ok']]);
      expect(await sizeOf()).to.be.at.most(maxSize);
    });

    it('deletes old rooms if the browser says that it is full, and is full if that is not enough', async () => {
      const put = { key: 'room:1/position', version: 1, value: '{"at":1}' };
      await storage.write([{ put }], 'x');
      const tab = createTab(storage, { user: 'x' });
      const room = await tab.open();
      let isFull = true;
      storage.fail = (call, ops) => {
        if (call === 'write' && ops.some((op) => 'delete' in op && op.delete === 'room:1/')) isFull = false;
        else if (call === 'write' && isFull) throw quotaError();
      };
      room.send('a');
      await tab.stored();
      expect([isFull, outboxOf(tab)[0]!.saved, tab.states]).to.deep.equal([false, true, ['ok']]);
      isFull = true;
      room.send('b');
      await tab.stored();
      expect([outboxOf(tab)[1]!.saved, tab.states]).to.deep.equal([false, ['ok', 'full']]);
      isFull = false;
      room.send('c');
      await tab.stored();
      expect(outboxOf(tab).map(({ saved }) => saved)).to.deep.equal([true, true, true]);
    });

    it('shows nothing of a damaged room, and loads it again', async () => {
      service.send('one');
      service.send('two');
      const first = createTab();
      await first.open();
      first.connect();
      await first.caughtUp();
      first.crash();
      const user = first.connection.claims.user;
      const records = await storage.open(user);
      const damage: [string, string][] = [
        ['room:7/position', '{'],
        ['room:7/message:2', '{'],
        ['room:7/message:2', '{"message":{},"prev":1}'],
      ];
      for (const [key, value] of damage) {
        storage = new SharedStorage();
        await storage.write(
          records.map((put) => ({ put: put.key === key ? { ...put, value } : put })),
          user,
        );
        const tab = createTab();
        await tab.open();
        expect(tab.contents(), key).to.deep.equal([]);
        tab.connect();
        await tab.caughtUp();
        await expectSame(tab);
        tab.crash();
      }
    });

    it('starts again if the service was restored from a backup', async () => {
      for (let n = 1; n <= 5; n++) service.send(`${n}`);
      const first = createTab();
      await first.open();
      first.connect();
      await first.caughtUp();
      first.crash();
      service.forget(3);
      service.send('another 3');
      const second = createTab();
      await second.open();
      expect(second.contents()).to.have.length(5);
      second.connect();
      await waitUntil('it is reset', () => second.contents().length === 3);
      await second.caughtUp();
      await expectSame(second);
    });
  });

  it('works with a storage that only lives as long as the program, and says so', async () => {
    const shared = new MemoryStorage();
    const first = createTab(shared);
    const room = await first.open();
    room.send('a');
    await first.stored();
    expect([first.states, outboxOf(first)[0]!.saved]).to.deep.equal([['memory'], false]);
    first.crash();
    const second = createTab(shared);
    await second.open();
    expect(outboxOf(second)).to.have.length(1);
  });
});

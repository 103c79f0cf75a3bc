import { expect } from 'chai';
import type { Actor } from '../../../../src/core/authorization.ts';
import { createLocalRoomBus } from '../../../../src/core/bus.ts';
import { ChatError } from '../../../../src/core/errors.ts';
import type { AppendResult, Draft } from '../../../../src/core/log/append-messages.ts';
import type { BusMessage } from '../../../../src/core/log/change.ts';
import type { Operation, OperationResult } from '../../../../src/core/log/operation.ts';
import {
  createRoomRights,
  createVersionedRights,
  type VersionedRights,
} from '../../../../src/core/log/rights-cache.ts';
import type { RoomLog } from '../../../../src/core/log/room-log.ts';
import { createSendQueue } from '../../../../src/features/messages/send-queue.ts';
import type { WriteRequest } from '../../../../src/features/messages/send-request.ts';

const user = '00000000-0000-0000-0000-00000000000a';
const writer: Actor = { user, entity: null, level: 0, mayCreateRooms: false };
const reader: Actor = { ...writer, user: '00000000-0000-0000-0000-00000000000b' };
const date = '2026-01-01T00:00:00.000Z';

const grant = ({ user: entity_UUID }: Actor, permissions: string) => ({
  ...{ entity_UUID, kind: 'user' as const, permissions, level: 0, accepted: null },
});

/** Options of a fake log that records messages. They make it reject messages or fail. */
interface Stage {
  fail?: (drafts: readonly Draft[]) => void;
  busy?: (draft: Draft) => boolean;
  limits?: { maxMessages: number; maxBytes?: number };
  overlapsCommits?: boolean;
}

function stage({ fail, busy, limits, overlapsCommits = true }: Stage = {}) {
  const batches: string[][] = [];
  const published: BusMessage[] = [];
  const rightsRev = { last: 0 };
  let rules = [grant(writer, 'rw'), grant(reader, 'r')];
  let rev = 0;
  const room = { id: 1, uuid: user, name: 'queue', type: 'group' as const, level_admin: 100, user_owner: user };
  const whole = { ...room, entity_owner: null, max_entity_rules: 10, last_seq: 0, createdAt: date, updatedAt: date };
  const stored = new Map<string, AppendResult & { outcome: 'stored' }>();

  function append(draft: Draft): AppendResult {
    if (busy?.(draft)) return { outcome: 'busy' };
    const known = draft.client_msg_id === null ? undefined : stored.get(draft.client_msg_id);
    if (known) return { ...known, outcome: 'duplicate' };
    if (draft.rightsRev !== rightsRev.last) return { outcome: 'stale' };
    if (!draft.isAllowed) return { outcome: 'refused' };
    rev += 1;
    const { room_id, emitter, content, client_msg_id } = draft;
    const ids = { id: rev, room_id, seq: rev, version: rev };
    const message = { ...ids, emitter, content, client_msg_id, createdAt: date, updatedAt: date };
    const appended = {
      outcome: 'stored' as const,
      change: { kind: 'message' as const, room_id, rev, at: rev, message },
    };
    if (client_msg_id !== null) stored.set(client_msg_id, appended);
    return appended;
  }

  const log = {
    async append(drafts: readonly Draft[]) {
      batches.push(drafts.map(({ content }) => content));
      fail?.(drafts);
      return drafts.map(append);
    },
  } as unknown as RoomLog;
  let cached: VersionedRights | undefined;
  const rights = {
    invalidate() {
      cached = undefined;
    },
    async load() {
      cached ??= createVersionedRights(createRoomRights(whole, rules), rightsRev.last);
      const found = cached;
      return new Map([1, 2].map((id) => [id, found]));
    },
  };
  const bus = createLocalRoomBus((error) => {
    throw error;
  });
  bus.subscribe(1, (envelope) => void published.push(envelope));
  const figures = { batches: [] as number[], stored: [] as number[], repeated: 0 };
  const events = {
    committed: (messages: number) => void figures.batches.push(messages),
    stored: (seconds: number) => void figures.stored.push(seconds),
    deduplicated: () => void figures.repeated++,
  };
  const queue = createSendQueue(
    { log, rights, bus, events, overlapsCommits },
    { maxMessages: 100, maxBytes: 1_000_000, maxBatch: 50, maxOperations: 200, maxBatchPerRoom: 50, ...limits },
  );
  const send = (content: string, actor = writer, client_msg_id: string | null = null, room_id = 1) =>
    queue.append({ actor, room_id, content, client_msg_id }).then(
      ({ change, duplicate }) => `${change.message.seq} ${change.message.content}${duplicate ? ' again' : ''}`,
      (error) => ChatError.from(error).code,
    );
  return {
    ...{ queue, send, batches, published, rights, figures },
    /** Another node changes the rules, so the rights cached here are outdated. */
    changeRules(...changed: typeof rules) {
      rules = changed;
      rightsRev.last += 1;
    },
  };
}

describe('SendQueue', () => {
  it('commits the messages of one tick together, in the order of arrival', async () => {
    const { send, batches, published } = stage();
    expect(await Promise.all(['a', 'b', 'c'].map((content) => send(content)))).to.deep.equal(['1 a', '2 b', '3 c']);
    expect(batches).to.deep.equal([['a', 'b', 'c']]);
    expect(published.map((envelope) => 'rev' in envelope && envelope.rev)).to.deep.equal([1, 2, 3]);
  });

  for (const overlapsCommits of [true, false]) {
    it(`begins the next commit ${overlapsCommits ? 'before' : 'after'} the results of the previous one are published`, async () => {
      const counts: number[] = [];
      let second: Promise<string> | undefined;
      const { send, published } = stage({
        overlapsCommits,
        fail() {
          counts.push(published.length);
          second ??= send('b');
        },
      });
      expect([await send('a'), await second]).to.deep.equal(['1 a', '2 b']);
      expect(counts).to.deep.equal([0, overlapsCommits ? 0 : 1]);
      expect(published.map((envelope) => 'rev' in envelope && envelope.rev)).to.deep.equal([1, 2]);
    });
  }

  it('rejects messages beyond the limit of queued bytes in UTF-8, and accepts messages again once the queued ones are stored', async () => {
    const { send, queue } = stage({ limits: { maxMessages: 100, maxBytes: 3_000 } });
    // 1,000 characters of three bytes each.
    const first = send('語'.repeat(1_000));
    expect(await send('x')).to.equal('UNAVAILABLE');
    expect(await first).to.match(/^1 /);
    await queue.settled();
    expect(await send('x')).to.equal('2 x');
  });

  it('reports the size of each batch, the duration of each stored message, and duplicates', async () => {
    const { send, figures } = stage();
    const start = performance.now();
    await Promise.all([send('a', writer, 'id'), send('b', reader), send('c')]);
    await send('a', writer, 'id');
    expect(figures).to.deep.include({ batches: [3, 1], repeated: 1 });
    expect(figures.stored).to.have.length(2);
    for (const seconds of figures.stored) expect(seconds).to.be.within(0, (performance.now() - start) / 1_000);
  });

  it('rejects a denied message without failing the rest of the batch', async () => {
    const { send } = stage();
    const answers = await Promise.all([send('a'), send('b', reader), send('c')]);
    expect(answers).to.deep.equal(['1 a', 'FORBIDDEN', '2 c']);
  });

  it('authorizes again and keeps the order if the cached rules are outdated', async () => {
    const { send, changeRules } = stage();
    await send('a');
    changeRules(grant(writer, 'rw'), grant(reader, 'rw'));
    expect(await Promise.all([send('b', reader), send('c'), send('d', reader)])).to.deep.equal(['2 b', '3 c', '4 d']);
    changeRules(grant(writer, 'b'), grant(reader, 'rw'));
    expect(await Promise.all([send('e'), send('f', reader)])).to.deep.equal(['BANNED', '5 f']);
  });

  it('stores the rest of the batch if the database rejects one message', async () => {
    const fail = (drafts: readonly Draft[]) => {
      if (drafts.some(({ content }) => content === 'poison'))
        throw Object.assign(new Error('invalid byte sequence'), { severity: 'ERROR', code: '22021' });
    };
    const { send } = stage({ fail });
    expect(await Promise.all([send('a'), send('poison'), send('c')])).to.deep.equal(['1 a', 'INTERNAL', '2 c']);
  });

  it('rejects queued messages while the database is down, and stores later ones', async () => {
    let away = true;
    const fail = () => {
      if (away) throw new ChatError('UNAVAILABLE');
    };
    const { send, queue } = stage({ fail });
    expect(await Promise.all([send('a'), send('b')])).to.deep.equal(['UNAVAILABLE', 'UNAVAILABLE']);
    away = false;
    expect(await send('c')).to.equal('1 c');
    expect(queue.size).to.equal(0);
  });

  it('answers a retry with the first message, whether that is in flight or stored', async () => {
    const { send, batches } = stage();
    const together = await Promise.all([send('a', writer, 'id'), send('a', writer, 'id'), send('x', writer, 'id')]);
    expect(together).to.deep.equal(['1 a', '1 a again', 'ID_REUSED']);
    expect(await send('a', writer, 'id')).to.equal('1 a again');
    expect(await send('x', writer, 'id')).to.equal('ID_REUSED');
    expect(batches[0]).to.deep.equal(['a']);
  });

  it('retries a room that another transaction keeps locked, without delaying other rooms', async () => {
    const locked = { is: true };
    const { send } = stage({ busy: ({ room_id }) => locked.is && room_id === 1 });
    const waiting = send('a');
    expect(await send('b', writer, null, 2)).to.equal('1 b');
    locked.is = false;
    expect(await waiting).to.equal('2 a');
  });

  it('answers the rest of the batch if the callback of one message throws', async () => {
    const { queue, send } = stage();
    const failing = queue.append({
      ...{ actor: writer, room_id: 1, content: 'a', client_msg_id: null },
      onStored: () => {
        throw new Error('a defect');
      },
    });
    const [first, second] = await Promise.all([failing.catch((error) => error.code), send('b')]);
    expect([first, second]).to.deep.equal(['INTERNAL', '2 b']);
  });

  it('stores a message even if its rules change while those of another room are read', async () => {
    const { send, rights } = stage();
    const waiting = [send('a'), send('b', writer, null, 2)];
    await new Promise((resolve) => setImmediate(resolve));
    rights.invalidate();
    expect(await Promise.all(waiting)).to.deep.equal(['1 a', '2 b']);
  });

  it('rejects messages immediately if the queue is full', async () => {
    const { send } = stage({ limits: { maxMessages: 2 } });
    expect(await Promise.all([send('a'), send('b'), send('c')])).to.deep.equal(['1 a', '2 b', 'UNAVAILABLE']);
  });
});

/** A log that records each batch of messages and of operations, and answers operations with the next of `outcomes`. */
function stageOperations(
  outcomes: ((operation: Operation) => OperationResult | undefined)[] = [],
  operationsEnd: Promise<void> = Promise.resolve(),
) {
  const batches: string[] = [];
  let rev = 0;
  const room = { id: 1, uuid: user, name: 'queue', type: 'group' as const, level_admin: 100, user_owner: user };
  const whole = { ...room, entity_owner: null, max_entity_rules: 10, last_seq: 0, createdAt: date, updatedAt: date };
  const toMessage = (operation: { room_id: number; content?: string | undefined }, seq: number) => ({
    ...{ id: seq, room_id: operation.room_id, seq, version: rev, emitter: user, content: operation.content ?? '' },
    ...{ client_msg_id: null, createdAt: date, updatedAt: date },
  });
  function apply(operation: Operation): OperationResult {
    const outcome = outcomes.shift()?.(operation);
    if (outcome) return outcome;
    rev += 1;
    const position = { rev, at: rev };
    switch (operation.kind) {
      case 'send':
        return { outcome: 'sent', ...position, message: toMessage(operation, rev) };
      case 'edit':
        return { outcome: 'edited', ...position, message: toMessage(operation, operation.seq) };
      case 'delete':
        return { outcome: 'deleted', ...position, messages: [] };
      case 'react':
        return { outcome: 'reacted', ...position, seq: operation.seq, reactions: [], changes: [] };
    }
  }
  const log = {
    async append(drafts: readonly Draft[]): Promise<AppendResult[]> {
      batches.push(`append ${drafts.map(({ content }) => content).join(' ')}`);
      return drafts.map((draft) => {
        rev += 1;
        const message = toMessage(draft, rev);
        return { outcome: 'stored', change: { kind: 'message', room_id: draft.room_id, rev, at: rev, message } };
      });
    },
    async apply(operations: readonly Operation[]) {
      batches.push(`apply ${operations.map(describeOperation).join(' ')}`);
      await operationsEnd;
      return operations.map(apply);
    },
  } as unknown as RoomLog;
  const invalidated: number[] = [];
  const rights = {
    invalidate: (id: number) => void invalidated.push(id),
    load: async () => {
      const found = createVersionedRights(createRoomRights(whole, [grant(writer, 'rw')]), 0);
      return new Map([1, 2].map((id) => [id, found]));
    },
  };
  const bus = createLocalRoomBus((error) => {
    throw error;
  });
  const queue = createSendQueue({ log, rights, bus, overlapsCommits: true });
  const send = (content: string, room_id = 1) => queue.append({ actor: writer, room_id, content, client_msg_id: null });
  const sendRich = (content: string, room_id = 1) => {
    const extras = { reply_to: null, thread: null, mentions: [], custom: '{}', flags: 0 };
    return queue.append({ actor: writer, room_id, content, client_msg_id: null, extras });
  };
  const applyTo = (operation: WriteRequest['operation'], room_id = 1) =>
    queue.apply({ actor: writer, room_id, operation });
  const edit = (seq: number, room_id = 1) => applyTo({ kind: 'edit', seq, content: 'x', edit_seconds: 0 }, room_id);
  const react = (seq: number) => applyTo({ kind: 'react', seq, emoji: 'a', added: true });
  const remove = (...seqs: number[]) => applyTo({ kind: 'delete', seqs });
  return { queue, batches, invalidated, send, sendRich, edit, react, remove };
}

function describeOperation(operation: Operation): string {
  if (operation.kind === 'send') return operation.content;
  return `${operation.kind}${operation.kind === 'delete' ? operation.seqs.join() : operation.seq}`;
}

describe('SendQueue with operations', () => {
  it('keeps the order of plain messages and operations in a room, and lets other rooms share the commit', async () => {
    const { send, sendRich, edit, batches } = stageOperations();
    await Promise.all([send('a'), send('b'), edit(1), sendRich('c'), send('d'), edit(7, 2), edit(2)]);
    expect(batches).to.deep.equal(['append a b', 'apply edit7', 'apply edit1 c', 'append d', 'apply edit2']);
  });

  it('applies at most one operation to each message in one batch', async () => {
    const { edit, remove, react, batches } = stageOperations();
    await Promise.all([edit(1), edit(2), edit(1), remove(2, 3), remove(4, 3), react(3), edit(3)]);
    expect(batches).to.deep.equal([
      ...['apply edit1 edit2', 'apply edit1 delete2,3', 'apply delete4,3', 'apply react3', 'apply edit3'],
    ]);
  });

  it('applies up to 50 reactions to a message in one batch', async () => {
    const { react, batches } = stageOperations();
    await Promise.all([...Array.from({ length: 60 }, () => react(1)), react(2)]);
    expect(batches.map((batch) => batch.split(' ').length - 1)).to.deep.equal([50, 11]);
  });

  it('authorizes a stale operation again, before later ones of the room', async () => {
    const { edit, send, batches, invalidated } = stageOperations([() => ({ outcome: 'stale' })]);
    await Promise.all([edit(1), send('a')]);
    expect(batches).to.deep.equal(['apply edit1', 'apply edit1', 'append a']);
    expect(invalidated).to.deep.equal([1]);
  });

  it('gives up on an operation that remains stale', async () => {
    const { edit, batches } = stageOperations(Array.from({ length: 100 }, () => () => ({ outcome: 'stale' as const })));
    const error = await edit(1).catch((thrown) => thrown);
    expect(error).to.include({ code: 'UNAVAILABLE' });
    expect(batches).to.have.length(20);
  });

  it('retries an operation in a locked room later, without delaying other rooms', async () => {
    const busy = () => ({ outcome: 'busy' as const });
    const { edit, batches } = stageOperations([busy, busy]);
    const waiting = Promise.all([edit(1), edit(2)]);
    await edit(9, 2);
    expect(batches).to.deep.equal(['apply edit1 edit2 edit9']);
    await waiting;
    expect(batches.at(-1)).to.equal('apply edit1 edit2');
  });

  it('rejects an operation with the error of its outcome, and settles the others', async () => {
    const { edit, remove, queue } = stageOperations([
      () => ({ outcome: 'conflict', field: 'base' }),
      () => ({ outcome: 'gone' }),
    ]);
    const code = (error: ChatError) => error.code;
    const answers = await Promise.all([edit(1).catch(code), edit(2).catch(code), remove(3)]);
    expect(answers.slice(0, 2)).to.deep.equal(['CONFLICT', 'NOT_FOUND']);
    expect(answers[2]).to.include({ outcome: 'deleted' });
    expect(queue.size).to.equal(0);
  });

  it('settles messages while the operations of the same commit still run', async () => {
    let finishOperations = () => {};
    const running = new Promise<void>((resolve) => {
      finishOperations = resolve;
    });
    const { send, edit } = stageOperations([], running);
    const edited = edit(7, 2);
    let isEdited = false;
    void edited.then(() => {
      isEdited = true;
    });
    await send('a');
    expect(isEdited).to.equal(false);
    finishOperations();
    await edited;
  });
});

import { expect } from 'chai';
import type { Change, MessageChange } from '../../../../src/core/log/change.ts';
import { createChatBroadcaster, type FrameReceiver } from '../../../../src/transports/chat/broadcaster.ts';
import { textsIn } from '../../../helpers/written-frames.ts';

const room = 7;
const uuid = '00000000-0000-0000-0000-00000000000a';
const date = '2026-01-01T00:00:00.000Z';

function message(rev: number, room_id = room): MessageChange {
  const details = { id: rev, seq: rev, emitter: uuid, content: `${rev}`, client_msg_id: null, version: rev };
  return { kind: 'message', room_id, rev, at: rev, message: { ...details, room_id, createdAt: date, updatedAt: date } };
}

const revision = (rev: number): Change => ({ ...message(rev), kind: 'revision' });

function tombstone(rev: number): MessageChange {
  const change = message(rev);
  return { ...change, message: { ...change.message, content: '', deletedAt: date } };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

function stage() {
  const audience = createChatBroadcaster();
  return {
    audience,
    announce: (...revs: number[]) => {
      for (const rev of revs) audience.publish(message(rev));
    },
    /**
     * A subscriber that records its frames: `3` for a shared frame, `own 3` for a frame with its `id`, one entry per
     * write.
     */
    listener(apart = true, { receivesEvents = false, isCongested = false } = {}) {
      const writes: string[] = [];
      const listener: FrameReceiver & { writes: string[] } = {
        ...{ writes, receivesEvents, isCongested },
        write(frames) {
          writes.push(
            textsIn(Buffer.concat(frames))
              .map((text) => JSON.parse(text))
              .map(({ type, data, rev }) =>
                type === 'message' ? data.content : `${type} ${rev ?? JSON.stringify(data)}`,
              )
              .join(' '),
          );
        },
        onOwnMessage({ rev }) {
          // A session does this before each send.
          if (apart) audience.catchUp(room, listener);
          if (apart) writes.push(`own ${rev}`);
          return apart;
        },
        fail(error) {
          throw error;
        },
      };
      audience.add(room, listener);
      return listener;
    },
  };
}

describe('the broadcaster of /chat', () => {
  it('delivers the messages of a tick in one write, and no other changes', async () => {
    const { audience, announce, listener } = stage();
    const ann = listener();
    announce(1, 2);
    audience.publish({ ...message(3), kind: 'member' } as unknown as Change);
    audience.publish(message(1, room + 1));
    announce(4);
    await turn();
    expect(ann.writes).to.deep.equal(['1 2 4']);
  });

  it('writes ephemeral events only to sessions that receive events and are not congested', async () => {
    const { audience, listener, announce } = stage();
    const plain = listener();
    const eager = listener(true, { receivesEvents: true });
    const slow = listener(true, { receivesEvents: true, isCongested: true });
    const event = { room_id: room, name: 'typing:changed', payload: { count: 1 } };
    expect(audience.publishEphemeral(event), 'a congested session did not receive it').to.equal(true);
    expect(audience.publishEphemeral({ ...event, room_id: room + 1 })).to.equal(false);
    expect(audience.publishEphemeral({ ...event, topic: 'presence' })).to.equal(false);
    announce(1);
    await turn();
    expect(plain.writes).to.deep.equal(['1']);
    expect(eager.writes).to.deep.equal(['typing_changed {"count":1}', '1']);
    expect(slow.writes).to.deep.equal(['1']);
    expect(audience.dropped).to.equal(1);
  });

  it('sends other changes and tombstones only to sessions that receive events, all in the order of the log', async () => {
    const { audience, announce, listener } = stage();
    const plain = listener();
    const eager = listener(true, { receivesEvents: true });
    announce(1);
    audience.publish(revision(2));
    audience.publish(tombstone(3));
    announce(4);
    await turn();
    expect(plain.writes).to.deep.equal(['1 4']);
    expect(eager.writes).to.deep.equal(['1 message_changed 2  4']);
  });

  it('encodes a message once for sessions with and without events', async () => {
    const { audience, announce } = stage();
    const written: Buffer[] = [];
    const receiver = (receivesEvents: boolean): FrameReceiver => ({
      ...{ receivesEvents, isCongested: false, onOwnMessage: () => false },
      write: (frames) => void written.push(...frames),
      fail: (error) => {
        throw error;
      },
    });
    for (const receivesEvents of [true, true, false, false]) audience.add(room, receiver(receivesEvents));
    announce(1);
    await turn();
    expect(written).to.have.lengthOf(4);
    expect(new Set(written).size).to.equal(1);
  });

  it('answers a sender with the tombstone of their own message in a separate frame, and shows it to no other session', async () => {
    const { audience, listener } = stage();
    const [ann, bob] = [listener(), listener()];
    audience.expectOwnMessage(room, 1, ann);
    audience.publish(tombstone(1));
    audience.expectOwnMessage(room, 2, listener(false));
    audience.publish(tombstone(2));
    audience.publish(message(3));
    await turn();
    expect(ann.writes).to.deep.equal(['own 1', '3']);
    expect(bob.writes).to.deep.equal(['3']);
  });

  const own: [title: string, revs: number[], writes: string[]][] = [
    ['in the middle', [3], ['1 2', 'own 3', '4 5']],
    ['first and last', [1, 5], ['own 1', '2 3 4', 'own 5']],
    ['one after the other', [2, 3], ['1', 'own 2', 'own 3', '4 5']],
    ['all', [1, 2, 3, 4, 5], ['own 1', 'own 2', 'own 3', 'own 4', 'own 5']],
  ];
  for (const [title, revs, writes] of own) {
    it(`delivers own messages in separate frames, once and in order: ${title}`, async () => {
      const { audience, announce, listener } = stage();
      const [ann, bob] = [listener(), listener()];
      for (const rev of revs) audience.expectOwnMessage(room, rev, ann);
      announce(1, 2, 3, 4, 5);
      await turn();
      expect(ann.writes).to.deep.equal(writes);
      expect(bob.writes).to.deep.equal(['1 2 3 4 5']);
    });
  }

  it('delivers own messages in shared frames if no separate frame is requested or the request was withdrawn', async () => {
    const { audience, announce, listener } = stage();
    const [plain, fickle] = [listener(false), listener()];
    audience.expectOwnMessage(room, 1, plain);
    audience.expectOwnMessage(room, 2, fickle)();
    announce(1, 2, 3);
    await turn();
    for (const { writes } of [plain, fickle]) expect(writes).to.deep.equal(['1 2 3']);
  });

  it('delivers pending messages at once to a subscriber that leaves, and none after', async () => {
    const { audience, announce, listener } = stage();
    const [ann, bob] = [listener(), listener()];
    announce(1, 2);
    audience.remove(room, ann);
    expect(ann.writes).to.deep.equal(['1 2']);
    announce(3);
    audience.remove(room, ann);
    audience.catchUp(room, ann);
    await turn();
    expect(ann.writes).to.deep.equal(['1 2']);
    expect(bob.writes).to.deep.equal(['1 2 3']);
  });

  it('delivers messages from the join on, and none twice', async () => {
    const { audience, announce, listener } = stage();
    const ann = listener();
    announce(1, 2);
    const late = listener();
    audience.catchUp(room, late);
    announce(3);
    audience.remove(room, ann);
    audience.remove(room, late);
    announce(4);
    audience.add(room, late);
    announce(5);
    await turn();
    expect(late.writes).to.deep.equal(['3', '5']);
  });

  it('writes an ephemeral event after the messages that were published before it, also in a large room', async () => {
    const { audience, announce, listener } = stage();
    const listeners = Array.from({ length: 200 }, () => listener(false, { receivesEvents: true }));
    announce(1);
    await turn();
    audience.publishEphemeral({ room_id: room, name: 'typing:changed', payload: { users: [] } });
    for (const { writes } of listeners) {
      expect(writes).to.have.lengthOf(2);
      expect(writes[0]).to.equal('1');
    }
  });
});

import { expect } from 'chai';
import type { Config } from '../../src/config/config.ts';
import type { RunningServer } from '../../src/server.ts';
import { embedded, startNode } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoomWithOwner, sendMessages } from '../helpers/rooms.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { answerWith, startReceiver, toSetting, type WebhookReceiver } from '../helpers/webhook-receiver.ts';

/** Short enough for tests. */
export const shortTimeouts = {
  ...{ leaseMs: 1_000, renewMs: 200, busyPollMs: 20, idlePollMs: 50, minBackoffMs: 30, maxBackoffMs: 200 },
  ...{ minRoomBackoffMs: 50, maxRoomBackoffMs: 200, finishMs: 500 },
};

const withShortTimeouts = (config: Config): Config => ({ ...config, timeouts: { webhooks: shortTimeouts } });

describe('Webhooks [embedded (PGlite)]', () => {
  let receiver: WebhookReceiver;
  let node: RunningServer;

  before(async function () {
    this.timeout(60_000);
    receiver = await startReceiver();
    node = await startNode(embedded, { WEBHOOKS: toSetting({ url: receiver.url }) }, withShortTimeouts);
  });

  it('deliver the creation of a room with its first rules, then each of its changes in order, then its deletion', async () => {
    const { owner, room } = await createRoomWithOwner(node.url);
    const member = await createMember(node.url, owner, room);
    await sendMessages(node.url, member, room, 'one', 'two');
    await rest(node.url, owner.token).patch(`/rooms/${room.id}`, { name: 'renamed' });
    await waitUntil('all changes', () => receiver.changesOf(room).length === 5);
    await rest(node.url, owner.token).delete(`/rooms/${room.id}`);
    await waitUntil('the deletion', () => receiver.changesOf(room).length === 6);
    expect(receiver.changesOf(room).map(({ name, rev }) => [name, rev])).to.deep.equal([
      ['room.created', 0],
      ['member:changed', 1],
      ['message:new', 2],
      ['message:new', 3],
      ['room:changed', 4],
      ['room.deleted', 5],
    ]);
    const [created] = receiver.accepted.filter(({ payload }) => payload.type === 'room.created');
    expect(created!.payload.data.changes[0]).to.deep.include({
      room: { id: room.id, uuid: room.uuid, key: null, type: 'group', name: 'a room' },
    });
  });

  it('deliver a change again until the endpoint answers', async () => {
    const { owner, room } = await createRoomWithOwner(node.url);
    receiver.answer = answerWith(500);
    await sendMessages(node.url, owner, room, 'one');
    const before = receiver.requests.length;
    await waitUntil('three attempts', () => receiver.requests.length >= before + 3);
    receiver.answer = answerWith(204);
    await waitUntil('all changes', () => receiver.changesOf(room).length === 2);
  });
});

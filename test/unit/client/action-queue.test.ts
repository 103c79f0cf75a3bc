import { expect } from 'chai';
import { type Action, ActionQueue } from '../../../src/client/action-queue.ts';
import { type RoomConnection, readLimits } from '../../../src/client/room-connection.ts';
import type { Json } from '../../helpers/json.ts';

/** A queue without a connection, until `connect` is called. */
function createQueue() {
  const requests: string[] = [];
  const answers: ((error: undefined, ack: object) => void)[] = [];
  const connection: Json = { limits: readLimits({ url: '', token: () => '' }), state: 'connecting' };
  const queue = new ActionQueue(connection as RoomConnection, { isReady: () => true, onChanged() {} });
  const add = (name: 'message:edit' | 'message:delete', ...seqs: number[]) =>
    queue.add({ name, key: `${name} ${seqs}`, seqs, toPayload: () => ({}), confirm: () => {} } as unknown as Action);
  const connect = () => {
    connection.link = {
      request: (name: string, _payload: object, answer: (typeof answers)[number]) => {
        requests.push(name);
        answers.push(answer);
      },
    };
    queue.sendNext();
  };
  return { queue, requests, answers, add, connect };
}

describe('the changes of a room of the client that wait', () => {
  it('are overtaken by a deletion of several messages only if they concern one of these', async () => {
    const { requests, add, connect } = createQueue();
    const edits = [1, 2, 3].map((seq) => add('message:edit', seq));
    add('message:delete', 2, 1);
    connect();
    expect(requests).to.deep.equal(['message:edit', 'message:delete']);
    expect(edits.map(({ error }) => error?.code)).to.deep.equal(['DELETED', 'DELETED', undefined]);
  });

  it('take no longer if many others wait, because they are only compared with those of their message', () => {
    const { requests, answers, add, connect } = createQueue();
    const before = process.cpuUsage();
    for (let seq = 1; seq <= 1_000; seq++) add('message:edit', seq);
    connect();
    for (const answer of answers) answer(undefined, {});
    expect(requests).to.have.length(1_000);
    // In microseconds: they take 0.1 s, and comparisons with all others take 8 s.
    expect(process.cpuUsage(before).user).to.be.below(3_000_000);
  });
});

import { expect } from 'chai';
import { changeSchemas, parseBusMessage } from '../../../../src/core/log/change.ts';

const date = '2026-01-01T00:00:00.000Z';
const position = { kind: 'message', room_id: 7, rev: 9, at: 1_767_225_600_000 };
const message = {
  ...{ id: 5, room_id: 7, seq: 8, emitter: '00000000-0000-0000-0000-00000000000a', content: 'x', client_msg_id: null },
  ...{ createdAt: date, updatedAt: date, version: 9 },
};

const oddValues = [
  ...[undefined, null, true, '', 'x', 0, -1, 1, 1.5, 2 ** 53, Number.NaN, {}, [], date, '2026-02-30T00:00:00Z'],
  ...['2026-01-01', '00000000-0000-0000-0000-00000000000B', '00000000-0000-0000-0000-00000000000c'],
];

describe('parseBusMessage', () => {
  it('returns the change of a plain message itself', () => {
    const change = { ...position, message };
    expect(parseBusMessage(change)).to.equal(change);
  });

  it('accepts exactly the changes of messages that the schema accepts, with the same result', () => {
    const inputs: object[] = [
      { ...position, message, root: { seq: 1, replies: { count: 1, last_seq: 2 } } },
      { ...position, message, other: 1 },
      { ...position, message: { ...message, thread: 3, mentions: [message.emitter] } },
      { ...position, message: { ...message, thread: 'x' } },
      { ...position, message: { ...message, other: 1 } },
    ];
    for (const value of oddValues) {
      for (const key of ['room_id', 'rev', 'at', 'message']) inputs.push({ ...position, message, [key]: value });
      for (const key of Object.keys(message)) inputs.push({ ...position, message: { ...message, [key]: value } });
    }
    // Nodes of the previous version publish messages without a version.
    const others = inputs.filter((input) => !isWithoutVersion(input));
    expect(others).to.have.length.above(200);
    for (const input of others) {
      const { data } = changeSchemas.message.safeParse(input);
      expect(parseBusMessage(input), JSON.stringify(input)).to.deep.equal(data);
    }
  });
});

function isWithoutVersion(input: object): boolean {
  const { message } = input as { message: unknown };
  return typeof message === 'object' && message !== null && (message as { version?: unknown }).version === undefined;
}

import { expect } from 'chai';
import { formatDeliveryId } from '../../../../src/features/webhooks/delivery.ts';
import { parseRetryAfter } from '../../../../src/features/webhooks/http-receiver.ts';
import { toOutcome } from '../../../../src/features/webhooks/receiver.ts';
import { RefusedRooms } from '../../../../src/features/webhooks/refused-rooms.ts';
import { RoomQueue } from '../../../../src/features/webhooks/room-queue.ts';

describe('The queue of rooms that are behind', () => {
  it('gives each room to one request at a time, the oldest first', () => {
    const queue = new RoomQueue();
    for (const room of [1, 2, 3]) queue.add(room, room);
    expect(queue.claim(2).rooms).to.deep.equal([1, 2]);
    queue.add(1, 10);
    expect(queue.claim(2).rooms).to.deep.equal([3]);
    expect(queue.claim(2).rooms).to.deep.equal([]);
  });

  it('gives a room again that was touched while a request had it', () => {
    const queue = new RoomQueue();
    queue.add(1, 1);
    const first = queue.claim(10);
    queue.add(1, 5);
    queue.release(first, 1, { isBehind: false });
    expect(queue.oldest).to.equal(5);
    const second = queue.claim(10);
    expect(second.rooms).to.deep.equal([1]);
    queue.release(second, 1, { isBehind: false });
    expect(queue.size).to.equal(0);
  });

  it('gives a room that needs a separate request alone, alternating with the others', () => {
    const queue = new RoomQueue();
    for (const room of [1, 2, 3, 4]) queue.add(room, room);
    const claim = queue.claim(2);
    for (const room of [1, 2]) queue.release(claim, room, { isBehind: true, isAlone: true });
    expect(queue.claim(10).rooms).to.deep.equal([1]);
    expect(queue.claim(10).rooms).to.deep.equal([3, 4]);
    expect(queue.claim(10).rooms).to.deep.equal([2]);
  });

  it('does not take a room from another request', () => {
    const queue = new RoomQueue();
    for (const room of [1, 2]) queue.add(room, room);
    const first = queue.claim(2);
    queue.release(first, 2, { isBehind: true });
    const second = queue.claim(2);
    expect(second.rooms).to.deep.equal([2]);
    queue.releaseAll(first);
    queue.release(first, 2, { isBehind: true });
    expect(queue.claim(2).rooms).to.deep.equal([1]);
    expect(queue.has(second, 2)).to.equal(true);
  });

  it('does not take the date of an imported message for the time since which a room is behind', () => {
    const queue = new RoomQueue();
    queue.add(1, 100);
    queue.release(queue.claim(1), 1, { isBehind: true, since: -1e12 });
    expect(queue.oldest).to.equal(100);
    const claim = queue.claim(1);
    queue.add(1, 60);
    queue.add(1, 130);
    queue.release(claim, 1, { isBehind: true, since: -1e12 });
    expect(queue.oldest).to.equal(60);
  });

  it('keeps the age of the oldest change, also while a request has the room', () => {
    const queue = new RoomQueue();
    queue.add(1, 100);
    queue.add(1, 50);
    queue.add(2, 70);
    const claim = queue.claim(1);
    expect(queue.oldest).to.equal(50);
    queue.release(claim, 1, { isBehind: true, since: 90 });
    expect(queue.oldest).to.equal(70);
  });
});

describe('The rooms that an endpoint refuses', () => {
  const hour = 3_600_000;
  const timeouts = { minRoomBackoffMs: 1_000, maxRoomBackoffMs: hour, parkAfterMs: 72 * hour };

  it('wait from 1 s up to 1 h, and are parked after the configured time', () => {
    const refused = new RefusedRooms(timeouts, () => 1);
    const delays: number[] = [];
    let now = 0;
    while (refused.parked === 0) {
      const { retryInMs } = refused.refuse(7, now, 0);
      delays.push(retryInMs / 1_000);
      now += retryInMs;
    }
    expect(delays.slice(0, 14)).to.deep.equal([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 3_600, 3_600]);
    expect(now).to.be.within(72 * hour, 74 * hour);
    expect(refused.listDue(now + 100 * hour)).to.deep.equal({ due: [], nextAt: Number.POSITIVE_INFINITY });
    expect(refused.behindSince, 'a parked room has no age').to.equal(Number.POSITIVE_INFINITY);
  });

  it('are due at their times', () => {
    const refused = new RefusedRooms(timeouts, () => 1);
    refused.refuse(1, 0, 0);
    refused.refuse(2, 500, 0);
    expect(refused.listDue(1_000)).to.deep.equal({ due: [1], nextAt: 1_500 });
  });

  it('keep the time of the first refusal when another node takes over', () => {
    const refused = new RefusedRooms(timeouts, () => 1);
    refused.replace([{ room_id: 1, attempts: 12, ageMs: 72 * hour - 1, retryInMs: -5 }], 1_000);
    expect(refused.listDue(1_000).due).to.deep.equal([1]);
    expect(refused.refuse(1, 1_001, 0)).to.deep.include({ attempts: 13, isParked: true });
    expect(refused.replace([], 2_000), 'the rooms that are not refused any more').to.deep.equal([1]);
  });
});

describe('The answer of an endpoint', () => {
  for (const [status, outcome] of [
    [200, 'delivered'],
    [204, 'delivered'],
    [301, 'failed'],
    [304, 'failed'],
    [400, 'refused'],
    [401, 'refused'],
    [404, 'refused'],
    [408, 'failed'],
    [410, 'suspended'],
    [422, 'refused'],
    [429, 'failed'],
    [500, 'failed'],
    [503, 'failed'],
  ] as const) {
    it(`counts ${status} as ${outcome}`, () => expect(toOutcome(status)).to.equal(outcome));
  }

  for (const [value, expected] of [
    ['120', 120_000],
    ['Wed, 21 Oct 2026 07:28:10 GMT', 10_000],
    ['Wed, 21 Oct 2020 07:28:00 GMT', 0],
    ['soon', undefined],
    [undefined, undefined],
  ] as const) {
    it(`reads Retry-After: ${value}`, () =>
      expect(parseRetryAfter(value, Date.parse('2026-10-21T07:28:00Z'))).to.equal(expected));
  }
});

describe('The id of a delivery', () => {
  it('names the endpoint, the rooms and their revs', () => {
    const id = formatDeliveryId('app', [
      { room_id: 7, revs: '3-9' },
      { room_id: 12, revs: '1-1' },
    ]);
    expect(id).to.equal('app:7.3-9,12.1-1');
  });

  it('is a digest if it would be longer than 255 characters', () => {
    const rooms = Array.from({ length: 100 }, (_, n) => ({ room_id: 1_000 + n, revs: '1-2' }));
    const id = formatDeliveryId('app', rooms);
    expect(id).to.match(/^app:[0-9a-f]{64}$/);
    expect(formatDeliveryId('app', rooms)).to.equal(id);
    expect(formatDeliveryId('app', rooms.slice(1))).not.to.equal(id);
  });
});

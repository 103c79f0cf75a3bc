import { expect } from 'chai';
import { BoundedPublisher } from '../../../src/cluster/bounded-publisher.ts';
import type { RedisConnection } from '../../../src/cluster/redis-connection.ts';

/** A publisher over a Redis that does not answer until the test says so. */
function stage() {
  const onTheirWay: { resolve: (receivers: number) => void; reject: (error: Error) => void }[] = [];
  const lost: unknown[] = [];
  let recoveries = 0;
  const publisher = new BoundedPublisher(() => ({}) as RedisConnection, {
    onLost: (error) => void lost.push(error),
    onRecovered: () => void recoveries++,
  });
  const publish = (bytes: number) =>
    publisher.publish(bytes, () => new Promise((resolve, reject) => onTheirWay.push({ resolve, reject })));
  const publishDroppable = (bytes: number) =>
    publisher.publishDroppable(bytes, () => new Promise((resolve, reject) => onTheirWay.push({ resolve, reject })));
  return { publisher, publish, publishDroppable, onTheirWay, lost, recoveries: () => recoveries };
}

describe('BoundedPublisher', () => {
  it('drops and counts messages beyond the limit if Redis does not answer', async () => {
    const { publish, onTheirWay, lost } = stage();
    const results = Array.from({ length: 20_000 }, () => publish(100));
    expect(onTheirWay).to.have.lengthOf(5_000);
    expect(lost).to.have.lengthOf(15_000);
    for (const { reject } of onTheirWay.splice(0)) reject(new Error('gone'));
    await Promise.all(results);
    expect(lost).to.have.lengthOf(20_000);
    void publish(100);
    expect(onTheirWay, 'there is room again').to.have.lengthOf(1);
  });

  it('reports once that messages arrive again', async () => {
    const { publish, onTheirWay, recoveries } = stage();
    const results = [publish(1), publish(1), publish(1), publish(1)];
    for (const [n, { resolve, reject }] of onTheirWay.entries()) n < 2 ? reject(new Error('refused')) : resolve(1);
    await Promise.all(results);
    expect(recoveries()).to.equal(1);
  });

  it('limits the bytes of messages in flight, too', async () => {
    const { publish, onTheirWay, lost } = stage();
    const results = Array.from({ length: 100 }, () => publish(1024 * 1024));
    expect(onTheirWay).to.have.lengthOf(16);
    for (const { resolve } of onTheirWay.splice(0)) resolve(1);
    await Promise.all(results);
    expect(lost).to.have.lengthOf(84);
    void publish(1024 * 1024);
    expect(onTheirWay).to.have.lengthOf(1);
  });

  it('drops droppable messages long before others, and only counts those that it drops or loses', async () => {
    const { publisher, publish, publishDroppable, onTheirWay, lost } = stage();
    const results = Array.from({ length: 600 }, () => publishDroppable(100));
    expect(onTheirWay).to.have.lengthOf(500);
    results.push(publish(100));
    expect(onTheirWay, 'other messages are still published').to.have.lengthOf(501);
    for (const { reject } of onTheirWay.splice(0)) reject(new Error('gone'));
    await Promise.all(results);
    expect(publisher.dropped).to.equal(600);
    expect(lost).to.have.lengthOf(1);
    void publish(2 * 1024 * 1024);
    void publishDroppable(100);
    expect(publisher.dropped, 'because of the bytes in flight').to.equal(601);
  });

  it('never throws from publish, even if the connection throws', async () => {
    const lost: unknown[] = [];
    const publisher = new BoundedPublisher(
      () => {
        throw new Error('closed');
      },
      { onLost: (error) => void lost.push(error), onRecovered() {} },
    );
    expect(await publisher.publish(1, async () => 1)).to.equal(0);
    expect(lost).to.have.lengthOf(1);
  });
});

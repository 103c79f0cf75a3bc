import { expect } from 'chai';
import { openPglite } from '../../src/database/open-store.ts';
import { closeLater } from '../helpers/cleanup.ts';
import { migratedDirectory } from '../helpers/embedded-template.ts';

describe('The embedded database', () => {
  it('runs urgent database tasks before waiting tasks', async () => {
    const store = await openPglite(await migratedDirectory());
    closeLater(() => store.close());
    const served: string[] = [];
    const ask = async (name: string, isUrgent: boolean) => {
      await store.query({ name, text: 'select 1', isUrgent }, []);
      served.push(name);
    };
    await Promise.all([ask('first', false), ask('second', false), ask('third', false), ask('message', true)]);
    expect(served).to.deep.equal(['first', 'message', 'second', 'third']);
  });

  it('reads sockets while database tasks wait, and runs urgent tasks from them first', async () => {
    const store = await openPglite(await migratedDirectory());
    closeLater(() => store.close());
    const served: string[] = [];
    const ask = async (name: string, isUrgent: boolean) => {
      await store.query({ name, text: 'select 1', isUrgent }, []);
      served.push(name);
    };
    const waiting = Array.from({ length: 20 }, (_, n) => ask(`read ${n}`, false));
    // Stands for a message that arrives on a socket.
    const message = new Promise<void>((resolve) => setImmediate(() => resolve(ask('message', true))));
    await Promise.all([...waiting, message]);
    expect(served.indexOf('message')).to.be.below(5);
  });
});

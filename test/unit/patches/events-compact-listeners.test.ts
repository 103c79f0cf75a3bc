import { EventEmitter } from 'node:events';
import { expect } from 'chai';
import { compactListeners } from '../../../src/patches/events-compact-listeners.ts';

describe('compactListeners', () => {
  it('keeps the listeners, which can be added and removed as before', () => {
    const emitter = new EventEmitter();
    const heard: string[] = [];
    const hear = (name: string) => () => void heard.push(name);
    const first = hear('a1');
    emitter.on('a', first).on('a', hear('a2')).once('b', hear('b'));
    compactListeners(emitter);
    emitter.on('c', hear('c'));
    const all = () => {
      heard.length = 0;
      for (const name of ['a', 'b', 'c', 'd']) emitter.emit(name);
      return heard.join();
    };
    expect(emitter.eventNames()).to.deep.equal(['a', 'b', 'c']);
    expect(all()).to.equal('a1,a2,b,c');
    emitter.off('a', first);
    expect(all()).to.equal('a2,c');
    emitter.removeAllListeners('a');
    expect(emitter.eventNames()).to.deep.equal(['c']);
    emitter.removeAllListeners();
    expect(all()).to.equal('');
  });

  it('finds no listener under a name that every object inherits', () => {
    const emitter = new EventEmitter();
    compactListeners(emitter);
    for (const name of ['constructor', 'toString', '__proto__', 'hasOwnProperty']) {
      expect(emitter.emit(name), name).to.equal(false);
      expect(emitter.listenerCount(name), name).to.equal(0);
    }
  });

  it('replaces the field in which this version of Node.js keeps the listeners', () => {
    const emitter = new EventEmitter().on('a', () => {});
    const { _events: before } = emitter as unknown as { _events: object };
    compactListeners(emitter);
    const { _events: after } = emitter as unknown as { _events: object };
    expect(Object.keys(before)).to.deep.equal(['a']);
    expect(after).to.not.equal(before);
    expect(Object.keys(after)).to.deep.equal(['a']);
  });
});

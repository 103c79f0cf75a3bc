import type { Registry } from 'prom-client';
import { type Cell, registerCounter } from './fast-metrics.ts';

interface EphemeralEvents {
  /** A state of this node was published to other nodes. */
  published(): void;
  /** An event was sent to the connections of this node that receive it. */
  emitted(): void;
}

const features = ['typing', 'presence', 'reads'] as const;
type EphemeralFeature = (typeof features)[number];

export interface EphemeralMetrics {
  ephemeral: Record<EphemeralFeature, EphemeralEvents>;
}

export function createEphemeralMetrics(registers: Registry[]): EphemeralMetrics {
  const published = { typing: 0, presence: 0, reads: 0 };
  const emitted = { typing: 0, presence: 0, reads: 0 };
  const read = (counts: Record<EphemeralFeature, number>) => () =>
    features.map((feature): Cell => [{ feature }, counts[feature]]);
  registerCounter({
    registers,
    name: 'nano_messaging_ephemeral_publishes_total',
    help: 'States of typing, presence and read positions that this node has published to other nodes.',
    labelNames: ['feature'],
    read: read(published),
  });
  registerCounter({
    registers,
    name: 'nano_messaging_ephemeral_events_total',
    help: 'Events of typing, presence and read positions, each counted once for all connections of a room.',
    labelNames: ['feature'],
    read: read(emitted),
  });
  const createEvents = (feature: EphemeralFeature): EphemeralEvents => ({
    published() {
      published[feature] += 1;
    },
    emitted() {
      emitted[feature] += 1;
    },
  });
  return {
    ephemeral: { typing: createEvents('typing'), presence: createEvents('presence'), reads: createEvents('reads') },
  };
}

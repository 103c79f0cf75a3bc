import { AsyncLocalStorage } from 'node:async_hooks';
import { readFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { expect } from 'chai';

/** A real class behind fakes, in one of its states. */
export interface Machine {
  /** The current state, as a column of the table names it. */
  state(): string;
  /** Returns the actions since the last call. */
  takeActions(): string[];
}

interface Behaviour<M extends Machine> {
  name: string;
  /** Brings a fresh machine into each state. `event` is the row under test, for events that need a history. */
  states: Record<string, (machine: M, event: string) => Promise<void>>;
  /** Fires the event. Returns false if nothing could fire it. */
  events: Record<string, (machine: M) => Promise<boolean> | boolean>;
  create(): M;
}

interface Table {
  states: string[];
  rows: { event: string; cells: string[] }[];
}

const context = new AsyncLocalStorage<true>();

/**
 * Whether the caller belongs to the machine under test. What other tests have left running in this process does not, and
 * its timers must remain real.
 */
export const isOfMachine = (): boolean => context.getStore() === true;

const document = readFileSync(new URL('../../src/client/STATES.md', import.meta.url), 'utf8');

function readTable(name: string): Table {
  const section = document.split(/^## /m).find((part) => part.startsWith(`${name}\n`))!;
  const [head, , ...rows] = [...section.matchAll(/^\| (.+) \|$/gm)].map(([, cells]) => cells!.split(' | '));
  return {
    states: head!.slice(1).map((state) => state.replaceAll('`', '')),
    rows: rows.map(([event, ...cells]) => ({ event: event!, cells })),
  };
}

/** Drives a machine through every cell of its table in STATES.md. */
export function describeStates<M extends Machine>({ name, states, events, create }: Behaviour<M>): void {
  const table = readTable(name);
  const kind = name.toLowerCase();

  it(`names every state and every event of a ${kind} in its table of STATES.md`, () => {
    expect(table.states).to.deep.equal(Object.keys(states));
    expect(table.rows.map(({ event }) => event)).to.deep.equal(Object.keys(events));
    for (const { event, cells } of table.rows) expect(cells, event).to.have.length(table.states.length);
  });

  for (const { event, cells } of table.rows) {
    for (const [column, cell] of cells.entries()) {
      const from = table.states[column]!;
      const [next, ...actions] = cell.split('; ');
      const to = next === 'stays' || next === 'ignored' ? from : next!.replaceAll('`', '');
      const does = actions.length > 0 ? `, with “${actions.join('”, “')}”,` : '';
      const effect =
        cell === '—'
          ? `never has a ${kind} that is “${from}” when`
          : cell === 'ignored'
            ? `leaves a ${kind} that is “${from}” unchanged when`
            : to === from
              ? `keeps a ${kind} “${from}”${does || ','} when`
              : `moves a ${kind} from “${from}” to “${to}”${does} when`;
      const run = async () => {
        const machine = create();
        await states[from]!(machine, cell === '—' ? '' : event);
        await setImmediate();
        expect(machine.state(), 'before').to.equal(from);
        machine.takeActions();
        const hasFired = await events[event]!(machine);
        await setImmediate();
        expect(hasFired).to.equal(cell !== '—');
        if (!hasFired) return;
        expect(machine.state(), 'after').to.equal(to);
        expect(machine.takeActions()).to.deep.equal(actions.map((action) => action.trim()));
      };
      it(`${effect} ${event}`.replaceAll('`', ''), () => context.run(true, run));
    }
  }
}

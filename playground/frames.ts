import { Changing } from './changing.ts';

export type Line = 'Socket.IO' | '/chat' | 'REST';

export interface Frame {
  n: number;
  at: Date;
  line: Line;
  /** Whose connection it is: the id of a person. */
  person: string;
  direction: 'in' | 'out';
  name: string;
  /** On one line, cut where it is long. */
  brief: string;
  /** On many lines. */
  whole: string;
}

const mostFrames = 300;
const briefLength = 240;

/** What travelled, for the console: the latest few hundred. */
export class Frames extends Changing {
  #frames: Frame[] = [];
  #next = 1;

  get all(): readonly Frame[] {
    return this.#frames;
  }

  add(line: Line, person: string, direction: 'in' | 'out', name: string, payload: unknown): void {
    const brief = payload === undefined ? '' : JSON.stringify(payload, shortened);
    this.#frames = [
      ...this.#frames.slice(1 - mostFrames),
      {
        ...{ n: this.#next++, at: new Date(), line, person, direction, name },
        brief: brief.length > briefLength ? `${brief.slice(0, briefLength)}…` : brief,
        whole: payload === undefined ? '' : JSON.stringify(payload, shortened, 2),
      },
    ];
    this.changed();
  }

  clear(): void {
    this.#frames = [];
    this.changed();
  }
}

/** A token in full would fill the console, and end in a screenshot. */
const shortened = (_key: string, value: unknown) =>
  typeof value === 'string'
    ? value.replace(/^eyJ[\w-]{8,}\.[\w-]+\.[\w-]+$/, (token) => `${token.slice(0, 12)}…`)
    : value;

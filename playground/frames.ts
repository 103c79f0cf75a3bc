import { Changing } from './changing.ts';

export type Line = 'Socket.IO' | '/chat' | 'REST';

export interface Frame {
  n: number;
  at: Date;
  line: Line;
  /** The id of the person whose connection it is. */
  person: string;
  direction: 'in' | 'out';
  name: string;
  /** The payload on a single line, shortened. */
  brief: string;
  /** The whole payload, indented. */
  whole: string;
}

const maxFrames = 300;
const briefLength = 240;

/** The latest frames, for the console. */
export class Frames extends Changing {
  #frames: Frame[] = [];
  #next = 1;

  get all(): readonly Frame[] {
    return this.#frames;
  }

  add(line: Line, person: string, direction: 'in' | 'out', name: string, payload: unknown): void {
    const brief = payload === undefined ? '' : JSON.stringify(payload, shortened);
    this.#frames = [
      ...this.#frames.slice(1 - maxFrames),
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

/** Shortens tokens, which would fill the console and end up in screenshots. */
const shortened = (_key: string, value: unknown) =>
  typeof value === 'string'
    ? value.replace(/^eyJ[\w-]{8,}\.[\w-]+\.[\w-]+$/, (token) => `${token.slice(0, 12)}…`)
    : value;

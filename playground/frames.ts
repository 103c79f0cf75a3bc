import { Observable } from './observable.ts';

export type Transport = 'Socket.IO' | '/chat' | 'REST';

export interface Frame {
  n: number;
  at: Date;
  transport: Transport;
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
export class Frames extends Observable {
  #frames: Frame[] = [];
  #next = 1;

  get all(): readonly Frame[] {
    return this.#frames;
  }

  add(transport: Transport, person: string, direction: 'in' | 'out', name: string, payload: unknown): void {
    const brief = payload === undefined ? '' : JSON.stringify(payload, shortened);
    this.#frames = [
      ...this.#frames.slice(1 - maxFrames),
      {
        ...{ n: this.#next++, at: new Date(), transport, person, direction, name },
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

import { describeError } from './descriptions.ts';
import type { Frames } from './frames.ts';
import { Observable } from './observable.ts';
import type { Person } from './people.ts';
import { chatUrl } from './service.ts';
import { getToken } from './tokens.ts';

/** A placeholder that `send` replaces by the token, so that the token is not shown. */
export const tokenMark = '$TOKEN';

export const templates = {
  token: () => ({ type: 'token', content: tokenMark }),
  select_room: (room: number) => ({ type: 'select_room', room_id: room, id: 'select' }),
  message: () => ({ type: 'message', content: 'Hello from /chat', id: 'hello' }),
  get_past_messages: () => ({ type: 'get_past_messages', limit: 3, id: 'page' }),
  quit: () => ({ type: 'quit' }),
} as const;

export type TemplateName = keyof typeof templates;

/** A plain WebSocket to `/chat` that sends any text. */
export class RawChat extends Observable {
  readonly #frames: Frames;
  #socket: WebSocket | undefined;
  person: Person | undefined;
  state: 'closed' | 'connecting' | 'open' = 'closed';
  /** Why the connection closed, or why the last frame was not sent. */
  notice = '';

  constructor(frames: Frames) {
    super();
    this.#frames = frames;
  }

  connect(person: Person): void {
    this.close();
    const socket = new WebSocket(chatUrl);
    this.#socket = socket;
    this.#set({ state: 'connecting', person, notice: '' });
    socket.onopen = () => this.#set({ state: 'open' });
    socket.onmessage = ({ data }: MessageEvent<string>) => {
      const frame = readJson(data);
      const { type, data: word } = (frame ?? {}) as { type?: string; data?: unknown };
      this.#frames.add('/chat', person.id, 'in', typeof word === 'string' ? word : (type ?? '?'), frame ?? data);
    };
    socket.onclose = ({ code, reason }) => {
      this.#frames.add('/chat', person.id, 'in', 'closed', { code, reason });
      if (this.#socket !== socket) return;
      this.#set({ state: 'closed', notice: `Closed with ${code}${reason && `: ${reason}`}` });
    };
  }

  /** Replaces the token's placeholder and sends the text. Returns whether it was sent. */
  async send(text: string): Promise<boolean> {
    const { person } = this;
    if (!person || this.state !== 'open') return false;
    try {
      const whole = text.includes(tokenMark) ? text.replaceAll(tokenMark, await getToken(person)) : text;
      this.#socket?.send(whole);
      const frame = readJson(whole) as { type?: string } | undefined;
      this.#frames.add('/chat', person.id, 'out', frame?.type ?? 'not JSON', frame ?? whole);
      this.#set({ notice: '' });
      return true;
    } catch (error) {
      this.#set({ notice: describeError(error) });
      return false;
    }
  }

  close(): void {
    this.#socket?.close();
    this.#socket = undefined;
    this.#set({ state: 'closed' });
  }

  #set(what: Partial<Pick<RawChat, 'state' | 'person' | 'notice'>>): void {
    Object.assign(this, what);
    this.changed();
  }
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

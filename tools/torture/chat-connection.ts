import WebSocket from 'ws';
import { ChatFrame } from '../../src/core/contract/chat.ts';
import { closeCodes, type ErrorCode, type RemovalCode } from '../../src/core/errors.ts';
import type { Message, ReactionCount } from '../../src/core/log/message.ts';
import type { ReadChanged } from '../../src/features/reads/contract.ts';
import type { TypingChanged } from '../../src/features/typing/contract.ts';
import { hasExpired } from '../../test/helpers/users.ts';
import { eventFrames } from '../requests.ts';
import type { Connection, ConnectionEvents, Dial, JoinAnswer, OperationAnswer, Page, Position } from './connection.ts';
import type { Operation } from './record.ts';
import { toReceipt, toReceivedChange } from './socketio-connection.ts';

const dialMs = 4_000;
const forgetMs = 20_000;

/**
 * The codes with which the server may close these connections. Other codes are for clients that misbehave, and these
 * clients do not.
 */
const fairCloses = new Set<number>([
  ...[closeCodes.quit, closeCodes.draining, closeCodes.token_ended, closeCodes.does_not_read].map(({ code }) => code),
  1006,
]);

type Frame<T extends ChatFrame['type']> = Extract<ChatFrame, { type: T }>;
type Answer = (joined: JoinAnswer) => void;

/** The fields of the answer to an edit, a deletion or a reaction. */
interface Done {
  rev: number;
  changed?: boolean;
  deleted?: number[];
  message?: Message;
  reactions?: ReactionCount[];
}

export function chatDial(user: string, withEvents: boolean): Dial {
  return (url, token, events) => {
    const options = { handshakeTimeout: dialMs, perMessageDeflate: false };
    return createChatConnection(
      new WebSocket(`${url.replace('http', 'ws')}/chat`, options),
      { user, withEvents, token },
      events,
    );
  };
}

interface Options {
  user: string;
  withEvents: boolean;
  token: string;
}

function createChatConnection(
  socket: WebSocket,
  { user, withEvents, token }: Options,
  events: ConnectionEvents,
): Connection {
  let over = false;
  let asked = 0;
  let sentToken = token;
  let room: number | undefined;
  let selecting: { id: number; room: number; answer: Answer } | undefined;
  const marks = new Map<string, (position: Position) => void>();
  let page: { id: string; messages: Message[]; answer: (page: Page | undefined) => void } | undefined;
  const operations = new Map<string, { operation: Operation; answer: (answer: OperationAnswer) => void }>();

  const sendCommand = (command: object) => {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(command));
  };
  socket.on('open', () => sendCommand({ type: 'token', content: token, id: 'first' }));
  // The `close` event follows and is handled.
  socket.on('error', () => {});
  socket.on('close', (code) => {
    if (over) return;
    over = true;
    if (!fairCloses.has(code)) events.violation(`closed with ${code}`);
    events.ended();
  });
  socket.on('message', (data) => {
    if (!over) receive(data.toString());
  });

  function receive(text: string): void {
    const json: unknown = JSON.parse(text);
    const frame = ChatFrame.safeParse(json).data;
    const understood = frame ? handle(frame) : handleEvent(json);
    if (!understood) events.violation(`an unexpected or undocumented frame: ${text}`);
  }

  function handle(frame: ChatFrame): boolean {
    switch (frame.type) {
      case 'message':
        return handleMessage(frame);
      case 'query':
      case 'status':
        return handleStatus(frame);
      default:
        return withEvents && handleChange(frame);
    }
  }

  function handleChange({ type, rev, cursor, data }: Extract<ChatFrame, { rev: number; data: object }>): boolean {
    const received = toReceivedChange(type.replace('_', ':'), { ...data, rev, cursor });
    if (received) events.received(received);
    return received !== undefined;
  }

  /** An ephemeral event, or how far users have read. */
  function handleEvent(json: unknown): boolean {
    const { type } = json as { type: string };
    if (!withEvents || eventFrames.get(type)?.safeParse(json).success !== true) return false;
    if (type === 'typing_changed') {
      const { room_id: of, users } = (json as { data: TypingChanged }).data;
      const names = users.map((typist) => typist.user);
      events.typingChanged(of, names);
    }
    if (type !== 'read_changed') return true;
    const { room_id, reads } = (json as { data: ReadChanged }).data;
    events.readsChanged(room_id, reads.map(toReceipt));
    return true;
  }

  function handleMessage(frame: Frame<'message'>): boolean {
    const { rev, cursor, data, duplicate, history } = frame;
    if (history) return page?.messages.push(data) !== undefined;
    if (duplicate && data.emitter !== user) return false;
    if (!duplicate) {
      events.received(toReceivedChange('message:new', { ...data, rev, cursor })!);
    }
    // The echo of a message that the reconciliation delivered has no `id`.
    if (data.emitter === user && data.client_msg_id !== null) {
      events.stored(data.client_msg_id, { id: data.id, seq: data.seq, rev, duplicate: duplicate === true });
    }
    return true;
  }

  function handleStatus(frame: Frame<'query' | 'status'>): boolean {
    const { data, id } = frame;
    if (data === 'START?') return true;
    // On a slow machine, a token that is valid for a short time expires before the server reads it.
    if (data === 'TOKEN?' && id === 'fresh') return frame.reason === 'TOKEN_EXPIRED' && hasExpired(sentToken);
    if (data === 'READY') {
      if (id === 'first') events.ready();
      return id === 'first' || id === 'fresh';
    }
    if (data === 'CONNECTED') return joined(id, { ...frame, ok: true, lastSeq: 0, events: [] });
    if (data === 'OK' && typeof id === 'string' && marks.has(id)) return marked(id, frame);
    if (data === 'OK') return operated(id, { ok: true, ...(frame as Frame<'status'> & Done) });
    if (data === 'HISTORY') return readPage(id, frame);
    if (data === 'SELECTROOM?' && typeof id === 'string') {
      const isMine = operated(id, { ok: false, code: 'UNAVAILABLE' }) || readPage(id) || marks.delete(id);
      if (!isMine) events.notYet(id);
      return true;
    }
    if (data !== 'NOTAUTHORIZED' && data !== 'ERROR') return false;
    const code = frame.reason as ErrorCode;
    if (operated(id, { ok: false, code }) || readPage(id) || marks.delete(String(id))) return true;
    if (typeof id === 'number') return joined(id, { ok: false, code: frame.reason as ErrorCode });
    if (id === 'fresh') return frame.reason === 'UNAVAILABLE';
    if (id !== undefined) events.refused(id, frame.reason as ErrorCode);
    else if (room !== undefined && data === 'NOTAUTHORIZED') removed(frame.reason as RemovalCode);
    else return false;
    return true;
  }

  function operated(id: unknown, done: ({ ok: true } & Done) | { ok: false; code: ErrorCode }): boolean {
    const asked = operations.get(String(id));
    if (!asked) return false;
    operations.delete(String(id));
    if (done.ok) asked.answer({ ...done, changed: done.changed ?? done.deleted!.includes(asked.operation.seq) });
    else asked.answer(done);
    return true;
  }

  function marked(id: string, frame: object): boolean {
    const { read_seq, version } = frame as { read_seq: number; version: number };
    marks.get(id)!({ readSeq: read_seq, version });
    return marks.delete(id);
  }

  function readPage(id: unknown, end?: { rev: number; has_more: boolean }): boolean {
    if (!page || page.id !== id) return false;
    const { messages, answer } = page!;
    page = undefined;
    answer(end && { messages, rev: end.rev, hasMore: end.has_more });
    return true;
  }

  function joined(id: unknown, answer: JoinAnswer): boolean {
    if (selecting?.id !== id) return false;
    const { room: chosen, answer: resolve } = selecting!;
    selecting = undefined;
    room = answer.ok ? chosen : undefined;
    resolve(answer);
    return true;
  }

  function removed(reason: RemovalCode): void {
    const from = room!;
    room = undefined;
    events.removed(from, reason);
  }

  return {
    join(room_id, { since }, answer) {
      selecting = { id: ++asked, room: room_id, answer };
      const options = { ...(since && { since }), ...(withEvents && { events: true }) };
      sendCommand({ type: 'select_room', room_id, id: asked, ...options });
    },
    /** On /chat, a client leaves a room only by selecting another. */
    leave() {},
    send({ content, clientMsgId, extras }) {
      sendCommand({ type: 'message', content, client_msg_id: clientMsgId, ...extras, id: clientMsgId });
    },
    operate(operation, answer) {
      const id = `operation ${++asked}`;
      operations.set(id, { operation, answer });
      const { kind, seq, content, base, emoji, added } = operation;
      if (kind === 'edit') sendCommand({ type: 'edit', seq, content, ...(base !== undefined && { base }), id });
      else if (kind === 'delete') sendCommand({ type: 'delete', seqs: [seq], id });
      else sendCommand({ type: 'react', seq, emoji, remove: !added, id });
    },
    readPage(_room, before, answer) {
      if (page) return answer(undefined);
      page = { id: `page ${++asked}`, messages: [], answer };
      sendCommand({ type: 'get_past_messages', ...(before !== undefined && { before }), id: page.id });
    },
    mark({ seq, force }, answer) {
      const id = `mark ${++asked}`;
      marks.set(id, answer);
      sendCommand({ type: 'mark_read', seq, force, id });
    },
    /** On /chat there are no personal settings. */
    set() {},
    /** Only the clients on Socket.IO type. */
    type() {},
    /** On /chat there is no inbox. */
    openInbox() {},
    refresh(fresh) {
      sentToken = fresh;
      sendCommand({ type: 'token', content: fresh, id: 'fresh' });
    },
    end(how) {
      if (how === 'politely') return sendCommand({ type: 'quit' });
      over = true;
      if (how === 'vanish' && socket.readyState === WebSocket.OPEN) socket.pause();
      else socket.terminate();
      setTimeout(() => socket.terminate(), forgetMs).unref();
    },
  };
}

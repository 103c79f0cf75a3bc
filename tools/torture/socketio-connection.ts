import { io, type Socket } from 'socket.io-client';
import type WebSocket from 'ws';
import { z } from 'zod';
import { namespace, RefusedAck, type ServerEventPayloads } from '../../src/core/contract/socketio.ts';
import type { InboxItem } from '../../src/core/inbox-item.ts';
import type { Presence, PresenceChanged } from '../../src/features/presence/contract.ts';
import type { ReadChanged, ReadReceipt } from '../../src/features/reads/contract.ts';
import type { TypingChanged } from '../../src/features/typing/contract.ts';
import { hasExpired } from '../../test/helpers/users.ts';
import { type RequestName, requests, events as serverEvents } from '../requests.ts';
import type { Connection, ConnectionEvents, Dial, Receipt, ReceivedChange, ShownPresence } from './connection.ts';
import { deltasText, reactionsText, versionText } from './record.ts';
import { memberText, roomText } from './room-history.ts';

const inboxRetryMs = 500;

const dialMs = 4_000;
const forgetMs = 20_000;

/** Connects with Socket.IO, without automatic reconnection, because the participant chooses another node. */
export function socketioDial(transports: ('websocket' | 'polling')[]): Dial {
  return (url, token, events) => {
    const socket = io(url + namespace, {
      ...{ auth: { token }, transports, timeout: dialMs },
      ...{ forceNew: true, reconnection: false },
    });
    return createSocketioConnection(socket, events);
  };
}

function createSocketioConnection(socket: Socket, events: ConnectionEvents): Connection {
  let over = false;

  function ended(): void {
    if (over) return;
    over = true;
    events.ended();
  }

  socket.on('connect', () => over || events.ready());
  socket.on('connect_error', (error: Error & { data?: { code: string } }) => {
    if (over) return;
    // The tokens are valid, so the server may only refuse the connection temporarily.
    if (error.data && error.data.code !== 'UNAVAILABLE') events.violation(`connect refused: ${error.data.code}`);
    ended();
  });
  socket.on('disconnect', (reason) => {
    if (!over && reason.includes('server disconnect')) events.violation(`disconnected by the server: ${reason}`);
    ended();
  });
  socket.onAny((name: string, payload: unknown) => {
    if (!over) receive(name, payload);
  });

  function receive(name: string, payload: unknown): void {
    const schema = serverEvents.get(name);
    if (!schema || schema.safeParse(payload).error) {
      return events.violation(`undocumented event ${name} ${JSON.stringify(payload)}`);
    }
    if (name === 'room:removed') {
      const { room_id, code } = payload as ServerEventPayloads['room:removed'];
      return events.removed(room_id, code);
    }
    if (name === 'inbox:changed') return events.inboxItems((payload as { items: InboxItem[] }).items);
    if (name === 'inbox:removed') return events.inboxRemoved((payload as { room_id: number }).room_id);
    if (name === 'typing:changed') {
      const { room_id, users } = payload as TypingChanged;
      const names = users.map((typist) => typist.user);
      return events.typingChanged(room_id, names);
    }
    if (name === 'read:changed') {
      const { room_id, reads } = payload as ReadChanged;
      return events.readsChanged(room_id, reads.map(toReceipt));
    }
    if (name === 'presence:changed') {
      const { room_id, ...presence } = payload as PresenceChanged;
      return events.presenceChanged(room_id, toShownPresence(presence));
    }
    const received = toReceivedChange(name, payload);
    if (received) events.received(received);
  }

  /**
   * Handles acknowledgements in the order in which they arrive. An event that follows an acknowledgement directly must
   * find it already applied.
   */
  function ask(name: RequestName, payload: object, yes: (ack: never) => void, no: (ack: RefusedAck) => void): void {
    const expected: z.ZodType = z.strictObject({ ok: z.literal(true), ...requests[name].ack.shape });
    socket.emit(name, payload, (ack: { ok?: unknown }) => {
      if (over) return;
      const schema = ack.ok === true ? expected : RefusedAck;
      if (!schema.safeParse(ack).success)
        return events.violation(`undocumented acknowledgement of ${name}: ${JSON.stringify(ack)}`);
      if (ack.ok === true) yes(ack as never);
      else no(ack as RefusedAck);
    });
  }

  return {
    join(room_id, { since, withPresence }, answer) {
      const yes = ({ room, rev, cursor, recovered, ...ack }: z.infer<(typeof requests)['room:join']['ack']>) =>
        answer({
          ...{ ok: true, rev, cursor, recovered, lastSeq: room.last_seq },
          events: ack.events.map(({ name, payload }) => toReceivedChange(name, payload)!),
          presence: ack.presence ? toShownPresence(ack.presence) : undefined,
          reads: ack.reads?.map(toReceipt),
        });
      const options = { reads: true, ...(since && { since }), ...(withPresence && { presence: true }) };
      ask('room:join', { room_id, ...options }, yes, ({ error }) => answer({ ok: false, code: error.code }));
    },
    leave(room_id, left) {
      ask('room:leave', { room_id }, left, ({ error }) => events.violation(`leave refused: ${error.code}`));
    },
    send({ room: room_id, content, clientMsgId, extras }) {
      const yes = ({ message, duplicate, rev }: z.infer<(typeof requests)['message:send']['ack']>) => {
        // A duplicate is answered with the message as it is now, and with the `rev` of its version.
        if (!duplicate && message.content !== content) {
          events.violation(`${clientMsgId} was acknowledged with different content`);
        }
        events.stored(clientMsgId, { id: message.id, seq: message.seq, rev, duplicate });
      };
      const payload = { room_id, content, client_msg_id: clientMsgId, ...extras };
      ask('message:send', payload, yes, ({ error }) => events.refused(clientMsgId, error.code));
    },
    operate(operation, answer) {
      const no = ({ error: { code, current } }: RefusedAck) => answer({ ok: false, code, current });
      const { room: room_id, seq, content, base, emoji } = operation;
      if (operation.kind === 'edit') {
        const yes = ({ message, changed, rev }: z.infer<(typeof requests)['message:edit']['ack']>) =>
          answer({ ok: true, changed, rev, message });
        ask('message:edit', { room_id, seq, content, ...(base !== undefined && { base }) }, yes, no);
      } else if (operation.kind === 'delete') {
        const yes = ({ deleted, rev }: z.infer<(typeof requests)['message:delete']['ack']>) =>
          answer({ ok: true, changed: deleted.includes(seq), rev });
        ask('message:delete', { room_id, seqs: [seq] }, yes, no);
      } else {
        const yes = ({ reactions, changed, rev }: z.infer<(typeof requests)['reaction:add']['ack']>) =>
          answer({ ok: true, changed, rev, reactions });
        ask(operation.added ? 'reaction:add' : 'reaction:remove', { room_id, seq, emoji }, yes, no);
      }
    },
    readPage(room_id, before, answer) {
      const yes = ({ messages, rev, has_more }: z.infer<(typeof requests)['message:history']['ack']>) =>
        answer({ messages, rev, hasMore: has_more });
      ask('message:history', { room_id, ...(before !== undefined && { before }) }, yes, () => answer(undefined));
    },
    mark({ room: room_id, seq, force }, answer) {
      const yes = ({ read_seq, version }: z.infer<(typeof requests)['read:mark']['ack']>) =>
        answer({ readSeq: read_seq, version });
      ask('read:mark', { room_id, seq, force }, yes, () => {});
    },
    set(room_id, wish, answer) {
      const yes = ({ muted, hidden, version }: z.infer<(typeof requests)['room:personal']['ack']>) =>
        answer({ muted, hidden, version });
      ask('room:personal', { room_id, ...wish }, yes, () => {});
    },
    type(room_id, typing, done) {
      ask('typing:set', { room_id, typing }, done, done);
    },
    openInbox(answer) {
      const yes = ({ rooms }: z.infer<(typeof requests)['inbox:open']['ack']>) => answer(rooms);
      // During an outage of the database the request is refused, and the inbox stays closed.
      const open = () => {
        if (!over) ask('inbox:open', { limit: 200 }, yes, () => void setTimeout(open, inboxRetryMs).unref());
      };
      open();
    },
    refresh(token) {
      ask(
        'token:refresh',
        { token },
        () => {},
        ({ error }) => {
          const isFair = error.code === 'UNAVAILABLE' || (error.code === 'TOKEN_EXPIRED' && hasExpired(token));
          if (!isFair) events.violation(`a valid token was refused: ${error.code}`);
        },
      );
    },
    end(how) {
      if (how === 'politely') return void socket.disconnect();
      over = true;
      breakOff(socket, how);
      setTimeout(() => socket.disconnect(), forgetMs).unref();
    },
  };
}

/**
 * Ends the connection without a packet, or leaves it open and never reads again. A polling client can only stop
 * polling.
 */
function breakOff(socket: Socket, how: 'cut' | 'vanish'): void {
  const transport = socket.io.engine?.transport as unknown as { ws?: WebSocket; readyState: string } | undefined;
  if (transport?.ws && how === 'cut') transport.ws.terminate();
  else if (transport?.ws?.readyState === 1) transport.ws.pause();
  else if (transport) transport.readyState = 'closed';
}

export const toReceipt = ({ user, read_seq, version }: ReadReceipt): Receipt => ({ user, readSeq: read_seq, version });

const toShownPresence = ({ users, partial }: Presence): ShownPresence => ({ users, isPartial: partial === true });

/** Returns undefined if the event is not a change of a room. */
export function toReceivedChange(name: string, payload: unknown): ReceivedChange | undefined {
  const { room_id: room, rev, cursor } = payload as ServerEventPayloads['message:new'];
  const position = { room, rev, cursor };
  switch (name) {
    case 'message:new':
    case 'message:changed': {
      const { root, ...message } = payload as ServerEventPayloads['message:changed'];
      const { seq, reactions, changes } = message;
      return { ...position, name, seq, message, root, reactions, changes, text: versionText(message) };
    }
    case 'reaction:changed': {
      const { seq, reactions, changes } = payload as ServerEventPayloads['reaction:changed'];
      const text = `${reactionsText(reactions)}; ${deltasText(changes)}`;
      return { ...position, name, seq, reactions, changes, text };
    }
    case 'change:skipped':
      return { ...position, name, text: '' };
    case 'member:changed':
      return { ...position, name, text: memberText(payload as ServerEventPayloads['member:changed']) };
    case 'room:changed':
      return { ...position, name, text: roomText((payload as ServerEventPayloads['room:changed']).room) };
    default:
      return undefined;
  }
}

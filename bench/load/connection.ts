import { WebSocket } from 'ws';
import { contentOf, type Delivery, deliveryIn } from './content.ts';
import { openNats } from './nats-connection.ts';

export const dialects = ['chat', 'socketio', 'bare-ws', 'nats'] as const;
export type Dialect = (typeof dialects)[number];

export interface Connection {
  /** Joins its room. False: the join was refused. */
  join(): Promise<boolean>;
  send(us: number): void;
  /** Reads nothing until `resume`. Only `/chat` and Socket.IO. */
  pause?(): void;
  resume?(): void;
  close(): void;
}

export interface ConnectionEvents {
  delivered(delivery: Delivery): void;
  /** The message sent at `us` was acknowledged, or its echo was received. */
  confirmed(us: number): void;
  /** A request was refused, or the connection ended. */
  failed(why: string): void;
  /** The cursor of what was received last. If it is missing, the load does not look for cursors. */
  advanced?(cursor: string): void;
  /** The room was joined with `since`. `recovered`: the missed messages follow. */
  rejoined?(recovered: boolean): void;
}

export interface ConnectionOptions {
  url: string;
  token: string;
  room: number;
  /** `outside`: connects and authenticates, but waits with the join until it is called. */
  begins: 'inside' | 'outside';
  /** The number of this connection in its process. */
  connection: number;
  /** The cursor from which on it joins its room. */
  since?: string | undefined;
}

export type Open = (options: ConnectionOptions, events: ConnectionEvents) => Promise<Connection>;

const quoted = (text: string) => JSON.stringify(text);
const sinceOf = ({ since }: ConnectionOptions) => (since === undefined ? '' : `,"since":${quoted(since)}`);
const cursorKey = '"cursor":"';

/** Reports the last cursor in the frame. */
function reportCursor(frame: string, { advanced }: ConnectionEvents): void {
  const at = advanced ? frame.lastIndexOf(cursorKey) : -1;
  if (at >= 0) advanced!(frame.slice(at + cursorKey.length, frame.indexOf('"', at + cursorKey.length)));
}

function reportJoin(frame: string, { since }: ConnectionOptions, { rejoined }: ConnectionEvents): void {
  if (since !== undefined) rejoined?.(frame.includes('"recovered":true'));
}

/** Reports the missed messages in the answer to a join. */
function reportMissed(frame: string, { delivered }: ConnectionEvents): void {
  for (const part of frame.split('"message":').slice(1)) {
    const delivery = deliveryIn(part);
    if (delivery) delivered(delivery);
  }
}

/** Opens the socket, sends the first frame if the client begins, and passes on received frames. */
export function dial(
  url: string,
  events: ConnectionEvents,
  onFrame: (frame: string, socket: WebSocket) => void,
): WebSocket {
  const socket = new WebSocket(url.replace(/^http/, 'ws'), { perMessageDeflate: false });
  socket.on('message', (data: Buffer) => onFrame(data.toString('latin1'), socket));
  socket.on('error', (error) => events.failed(error.message));
  socket.on('close', (code) => events.failed(`closed with ${code}`));
  return socket;
}

const openChat: Open = (options, events) =>
  new Promise((resolve, reject) => {
    const { url, token, room, connection, begins } = options;
    let sent = 0;
    let isOpen = false;
    let joined = (_wasAccepted: boolean) => {};
    const join = () => socket.send(`{"type":"select_room","room_id":${room}${sinceOf(options)}}`);
    const opened: Connection = {
      join: () =>
        new Promise((resolve) => {
          joined = resolve;
          join();
        }),
      send: (us) => socket.send(`{"type":"message","content":"${contentOf(us, connection, sent++)}"}`),
      pause: () => socket.pause(),
      resume: () => socket.resume(),
      close: () => socket.terminate(),
    };
    const socket = dial(`${url}/chat`, refusing(events, reject), (frame) => {
      reportCursor(frame, events);
      if (isOpen) {
        const delivery = deliveryIn(frame);
        if (!delivery) return events.failed(frame);
        if (delivery.connection === connection) events.confirmed(delivery.us);
        return events.delivered(delivery);
      }
      if (frame.includes('START?')) {
        socket.send(`{"type":"token","content":${quoted(token)}}`);
        if (begins === 'inside') join();
      } else if (frame.includes('CONNECTED')) {
        isOpen = true;
        reportJoin(frame, options, events);
        joined(true);
        resolve(opened);
      } else if (!frame.includes('READY')) {
        reject(new Error(frame));
        joined(false);
      } else if (begins === 'outside') resolve(opened);
    });
  });

/** Speaks Engine.IO and Socket.IO directly, because socket.io-client would use more CPU than the measured server. */
const openSocketio: Open = (options, events) =>
  new Promise((resolve, reject) => {
    const { url, token, room, connection, begins } = options;
    let sent = 0;
    let joined = (_wasAccepted: boolean) => {};
    const join = () => socket.send(`42/rooms,0["room:join",{"room_id":${room}${sinceOf(options)}}]`);
    const sentAt = new Map<number, number>();
    const acked = '43/rooms,';
    const path = '/socket.io/?EIO=4&transport=websocket';
    const socket = dial(url + path, refusing(events, reject), (frame) => {
      reportCursor(frame, events);
      if (frame.startsWith('42/rooms,')) {
        const delivery = deliveryIn(frame);
        if (delivery) events.delivered(delivery);
      } else if (frame.startsWith(acked)) {
        const id = Number.parseInt(frame.slice(acked.length, acked.length + 10), 10);
        const isDone = frame.includes('"ok":true');
        if (id === 0) {
          if (!isDone && begins === 'inside') reject(new Error(frame));
          reportJoin(frame, options, events);
          reportMissed(frame, events);
          joined(isDone);
          return resolve(opened);
        }
        if (!isDone) events.failed(frame);
        events.confirmed(sentAt.get(id)!);
        sentAt.delete(id);
      } else if (frame === '2') socket.send('3');
      else if (frame.startsWith('0')) socket.send(`40/rooms,{"token":${quoted(token)}}`);
      else if (frame.startsWith('40/rooms,')) {
        if (begins === 'inside') join();
        else resolve(opened);
      } else reject(new Error(frame));
    });
    const opened: Connection = {
      join: () =>
        new Promise((resolve) => {
          joined = resolve;
          join();
        }),
      send(us) {
        sent += 1;
        sentAt.set(sent, us);
        const content = contentOf(us, connection, sent);
        socket.send(`42/rooms,${sent}["message:send",{"room_id":${room},"content":"${content}"}]`);
      },
      pause: () => socket.pause(),
      resume: () => socket.resume(),
      close: () => socket.terminate(),
    };
  });

const openBareWs: Open = ({ url, room, connection, begins }, events) =>
  new Promise((resolve, reject) => {
    let sent = 0;
    let joined = (_wasAccepted: boolean) => {};
    const join = () => socket.send(`{"join":${room}}`);
    const opened: Connection = {
      join: () =>
        new Promise((resolve) => {
          joined = resolve;
          join();
        }),
      send: (us) => socket.send(`{"content":"${contentOf(us, connection, sent++)}"}`),
      close: () => socket.terminate(),
    };
    const socket = dial(url, refusing(events, reject), (frame) => {
      const delivery = deliveryIn(frame);
      if (!delivery) {
        joined(true);
        return resolve(opened);
      }
      if (delivery.connection === connection) events.confirmed(delivery.us);
      events.delivered(delivery);
    });
    socket.on('open', () => {
      if (begins === 'inside') join();
      else resolve(opened);
    });
  });

/** A failure before the connection is open also rejects the promise that opens it. */
export function refusing(events: ConnectionEvents, reject: (error: Error) => void): ConnectionEvents {
  return {
    ...events,
    failed(why) {
      reject(new Error(why));
      events.failed(why);
    },
  };
}

const opens: Record<Dialect, Open> = { chat: openChat, socketio: openSocketio, 'bare-ws': openBareWs, nats: openNats };

export const openConnection = (dialect: Dialect, options: ConnectionOptions, events: ConnectionEvents) =>
  opens[dialect](options, events);

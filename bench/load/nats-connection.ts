import { dial, type Open, refusing } from './connection.ts';
import { contentOf, deliveryIn } from './content.ts';

/** Core NATS does not number messages. The load numbers them in the order in which it publishes them. */
let lastSeq = 0;

const emitter = '00000000-0000-4000-8000-000000000000';
const end = '\r\n';
const connect = { verbose: false, pedantic: false, echo: true, lang: 'bench', version: '1', protocol: 1 };

/**
 * NATS' text protocol over WebSocket. A room is a subject, and a message has the same size as with the other baselines.
 */
export const openNats: Open = ({ url, room, connection, begins }, events) =>
  new Promise((resolve, reject) => {
    const subject = `room.${room}`;
    let sent = 0;
    let joined = (_wasAccepted: boolean) => {};
    // The PONG confirms the subscription.
    const join = () => socket.send(`SUB ${subject} 1${end}PING${end}`);
    const take = protocolReader({
      message(payload) {
        const delivery = deliveryIn(payload);
        if (!delivery) return events.failed(payload);
        if (delivery.connection === connection) events.confirmed(delivery.us);
        events.delivered(delivery);
      },
      control(name, text) {
        if (name === 'PING') socket.send(`PONG${end}`);
        else if (name === 'INFO') {
          socket.send(`CONNECT ${JSON.stringify(connect)}${end}`);
          if (begins === 'inside') join();
          else resolve(opened);
        } else if (name === 'PONG') {
          joined(true);
          resolve(opened);
        } else {
          reject(new Error(text));
          events.failed(text);
        }
      },
    });
    const socket = dial(url, refusing(events, reject), take);
    const opened = {
      join: () =>
        new Promise<boolean>((resolve) => {
          joined = resolve;
          join();
        }),
      send(us: number) {
        lastSeq += 1;
        const content = contentOf(us, connection, sent++);
        const message = { room_id: room, seq: lastSeq, emitter, content, createdAt: new Date().toISOString() };
        const payload = JSON.stringify(message);
        socket.send(`PUB ${subject} ${payload.length}${end}${payload}${end}`);
      },
      close: () => socket.terminate(),
    };
  });

interface Parts {
  message(payload: string): void;
  control(name: string, text: string): void;
}

/** A frame can contain several protocol messages, or part of a message. */
function protocolReader({ message, control }: Parts): (frame: string) => void {
  let rest = '';
  return (frame) => {
    const text = rest + frame;
    let at = 0;
    for (;;) {
      const lineEnd = text.indexOf(end, at);
      if (lineEnd < 0) break;
      const line = text.slice(at, lineEnd);
      const next = lineEnd + end.length;
      if (!line.startsWith('MSG ')) {
        at = next;
        control(line.split(' ', 1)[0]!, line);
        continue;
      }
      const payloadEnd = next + Number(line.slice(line.lastIndexOf(' ') + 1));
      if (text.length < payloadEnd + end.length) break;
      at = payloadEnd + end.length;
      message(text.slice(next, payloadEnd));
    }
    rest = text.slice(at);
  };
}

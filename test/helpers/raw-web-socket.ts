import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

interface FrameOptions {
  fin?: boolean;
  /** The length in the header, whatever the payload is. */
  length?: number;
}

/** A frame as clients send it, with a mask of zeros. */
export function frame(
  opcode: number,
  payload: string | Buffer = '',
  { fin = true, length }: FrameOptions = {},
): Buffer {
  const body = Buffer.from(payload);
  const bytes = length ?? body.length;
  const head = Buffer.alloc(bytes < 126 ? 2 : bytes < 65_536 ? 4 : 10);
  head[0] = (fin ? 0x80 : 0) | opcode;
  head[1] = 0x80 | (bytes < 126 ? bytes : bytes < 65_536 ? 126 : 127);
  if (head.length === 4) head.writeUInt16BE(bytes, 2);
  if (head.length === 10) head.writeBigUInt64BE(BigInt(bytes), 2);
  return Buffer.concat([head, Buffer.alloc(4), body]);
}

/**
 * A WebSocket that does not follow the protocol: it answers neither pings nor close frames, and reads only when a test
 * demands it. `closed` resolves when the server has ended the TCP connection.
 */
export class RawWebSocket {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  /** The code of the server's close frame; undefined if there was none. */
  closeCode: number | undefined;
  readonly texts: string[] = [];
  #received = Buffer.alloc(0);

  private constructor(socket: Socket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
  }

  static async open(url: string, path: string): Promise<RawWebSocket> {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    socket.on('error', () => {}); // `close` follows
    const headers = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'];
    const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==';
    socket.write(`${[`GET ${path} HTTP/1.1`, `Host: ${hostname}`, ...headers, key].join('\r\n')}\r\n\r\n`);
    const raw = new RawWebSocket(socket);
    let head = Buffer.alloc(0);
    while (!head.includes('\r\n\r\n')) {
      const [chunk] = (await Promise.race([once(socket, 'data'), raw.closed])) ?? [];
      if (!chunk) throw new Error(`The connection ended during the upgrade, after ${JSON.stringify(head.toString())}`);
      head = Buffer.concat([head, chunk]);
    }
    const end = head.indexOf('\r\n\r\n') + 4;
    const status = head.toString('latin1', 0, end).split('\r\n', 1)[0]!;
    if (!status.startsWith('HTTP/1.1 101 ')) throw new Error(status);
    socket.on('data', (chunk) => raw.#receive(chunk));
    raw.#receive(head.subarray(end));
    return raw;
  }

  send(bytes: Buffer): void {
    if (this.socket.writable) this.socket.write(bytes);
  }

  text(text: string): void {
    this.send(frame(opcodes.text, text));
  }

  /** Resolves when the operating system has accepted all data, so that a sender can follow the speed of the network. */
  async drained(): Promise<void> {
    if (this.socket.writableNeedDrain) await Promise.race([once(this.socket, 'drain'), this.closed]);
  }

  stopReading(): void {
    this.socket.pause();
  }

  /** Detects the end even if nothing is read, because a write to a closed connection fails. */
  get hasEnded(): boolean {
    if (!this.socket.destroyed) this.send(frame(opcodes.pong));
    return this.socket.destroyed;
  }

  /** Resolves when the server sends a close frame, or when the connection has ended. */
  async waitForClose(): Promise<void> {
    while (this.closeCode === undefined && !this.socket.destroyed) {
      await this.#more();
    }
  }

  /** Resolves with the first text that matches, whether it has already arrived or not. */
  async waitForText(pattern: RegExp): Promise<string> {
    for (;;) {
      const found = this.texts.find((text) => pattern.test(text));
      if (found !== undefined) return found;
      if (this.socket.destroyed) throw new Error(`Closed (${this.closeCode}) before ${pattern}: ${this.texts}`);
      await this.#more();
    }
  }

  destroy(): void {
    this.socket.destroy();
  }

  /** Resolves when data has arrived, or when the connection has ended, even if the server has reset it. */
  async #more(): Promise<void> {
    let resolve = () => {};
    const arrived = new Promise<void>((settle) => {
      resolve = settle;
    });
    this.socket.once('data', resolve);
    await Promise.race([arrived, this.closed]);
    this.socket.off('data', resolve);
  }

  #receive(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    for (;;) {
      const { length } = this.#received;
      if (length < 2) return;
      const short = this.#received[1]! & 0x7f;
      const headLength = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (length < headLength) return;
      const bytes =
        short < 126
          ? short
          : short === 126
            ? this.#received.readUInt16BE(2)
            : Number(this.#received.readBigUInt64BE(2));
      if (length < headLength + bytes) return;
      const payload = this.#received.subarray(headLength, headLength + bytes);
      const opcode = this.#received[0]! & 0x0f;
      if (opcode === opcodes.text) this.texts.push(payload.toString());
      if (opcode === opcodes.close) this.closeCode = bytes >= 2 ? payload.readUInt16BE(0) : 1005;
      this.#received = this.#received.subarray(headLength + bytes);
    }
  }
}

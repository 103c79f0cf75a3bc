import { connect, type Socket } from 'node:net';
import { closeLater } from './cleanup.ts';

export interface RawAnswer {
  status: number;
  /** Includes the status line. */
  head: string;
  body: string;
}

/** Opens a TCP connection and writes the bytes. `answer` resolves with the first data from the server. */
export function openRawConnection(url: string, bytes: string): { socket: Socket; answer: Promise<string> } {
  const { hostname, port } = new URL(url);
  const socket = connect({ port: Number(port), host: hostname, allowHalfOpen: true });
  closeLater(() => socket.destroy());
  socket.write(bytes);
  return { socket, answer: new Promise((resolve) => socket.once('data', (data) => resolve(data.toString()))) };
}

/**
 * Sends bytes to a port, each part after a response to the previous part. Returns everything that was received until
 * the server closes the connection; the client does not close it.
 */
export async function rawExchange(url: string, ...parts: (string | Buffer)[]): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect({ port: Number(port), host: hostname, allowHalfOpen: true });
  closeLater(() => socket.destroy());
  const writeNext = () => {
    const part = parts.shift();
    if (part !== undefined) socket.write(part);
  };
  writeNext();
  let answer = '';
  return new Promise((resolve, reject) => {
    socket.on('data', (data) => {
      answer += data;
      writeNext();
    });
    socket.once('end', () => {
      socket.destroy();
      resolve(answer);
    });
    socket.once('error', (error) => (answer === '' ? reject(error) : resolve(answer)));
  });
}

/** Returns the last response. Earlier responses belong to earlier requests on the same connection. */
export async function rawRequest(url: string, ...parts: (string | Buffer)[]): Promise<RawAnswer> {
  const text = await rawExchange(url, ...parts);
  const last = text.slice(text.lastIndexOf('HTTP/1.1 '));
  const [head = '', ...body] = last.split('\r\n\r\n');
  return { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]), head, body: body.join('\r\n\r\n') };
}

/** Requests that the HTTP parser of a server rejects, as bytes of a request for this path. */
export const unreadableRequests: Record<string, (path: string) => string | Buffer> = {
  'an unknown method': (path) => `FOO ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
  'the method TRACK': (path) => `TRACK ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
  'the method TRACE': (path) => `TRACE ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
  'raw UTF-8 in the URL': (path) => `GET ${path}?name=é HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
  'a control character in a header': (path) =>
    `GET ${path} HTTP/1.1\r\nHost: x\r\nX-A: a\x01b\r\nConnection: close\r\n\r\n`,
  'a NUL in a header': (path) => `GET ${path} HTTP/1.1\r\nHost: x\r\nX-A: a\x00b\r\nConnection: close\r\n\r\n`,
  'headers of 70 KB': (path) => `GET ${path} HTTP/1.1\r\nHost: x\r\n${largeHeaders(70_000)}\r\n`,
  'headers of 40 KB': (path) => `GET ${path} HTTP/1.1\r\nHost: x\r\n${largeHeaders(40_000)}Connection: close\r\n\r\n`,
  'headers of 20 KB': (path) => `GET ${path} HTTP/1.1\r\nHost: x\r\n${largeHeaders(20_000)}Connection: close\r\n\r\n`,
  'a URL of 40 KB': (path) => `GET ${path}?${'x'.repeat(40_000)} HTTP/1.1\r\nHost: x\r\n\r\n`,
  'a header that is folded': (path) => `GET ${path} HTTP/1.1\r\nHost: x\r\nX-A: a\r\n b\r\nConnection: close\r\n\r\n`,
  'a blank before the colon of a header': (path) => `GET ${path} HTTP/1.1\r\nHost : x\r\nConnection: close\r\n\r\n`,
  'an unknown version': (path) => `GET ${path} HTTP/3.7\r\nHost: x\r\nConnection: close\r\n\r\n`,
  'a bad chunk': (path) =>
    `POST ${path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n`,
  'chunk extensions of 20 KB': (path) =>
    `POST ${path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n1;${'x'.repeat(20_000)}\r\na\r\n0\r\n\r\n`,
  'trailers of 40 KB': (path) =>
    `POST ${path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n${largeHeaders(40_000)}\r\n`,
  'a Content-Length that is no number': (path) =>
    `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\nConnection: close\r\n\r\n`,
  'a negative Content-Length': (path) =>
    `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\nConnection: close\r\n\r\n`,
  'two lengths': (path) =>
    `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab`,
  'a length and chunks': (path) =>
    `POST ${path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\nConnection: close\r\n\r\n0\r\n\r\n`,
  'an unknown transfer encoding': (path) =>
    `POST ${path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\nConnection: close\r\n\r\nabc`,
  'an unknown expectation': (path) => `GET ${path} HTTP/1.1\r\nHost: x\r\nExpect: foo\r\nConnection: close\r\n\r\n`,
  'the preface of HTTP/2': () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'the beginning of TLS': () => Buffer.from('16030100c8010000c40303', 'hex'),
  'no HTTP at all': () => 'hello\r\n\r\n',
  'a tunnel': () => 'CONNECT chat.example:443 HTTP/1.1\r\nHost: chat.example:443\r\nConnection: close\r\n\r\n',
};

const largeHeaders = (bytes: number) =>
  Array.from({ length: Math.ceil(bytes / 5_000) }, (_, n) => `X-${n}: ${'x'.repeat(Math.min(5_000, bytes))}\r\n`).join(
    '',
  );

import { request } from 'node:http';

export interface PollingResponse {
  status: number;
  body: string;
}

/** Long polling without a client library: sends and fetches only what the test requests. */
export class PollingSession {
  readonly #url: string;
  readonly sid: string;

  private constructor(url: string, sid: string) {
    this.#url = url;
    this.sid = sid;
  }

  static async open(url: string): Promise<PollingSession> {
    const { body } = await sendRequest(`${url}/socket.io/?EIO=4&transport=polling`, 'GET');
    return new PollingSession(url, JSON.parse(body.slice(1)).sid);
  }

  /** A session that has joined the namespace `/rooms`. */
  static async connected(url: string, token: string): Promise<PollingSession> {
    const session = await PollingSession.open(url);
    await session.post(`40/rooms,${JSON.stringify({ token })}`);
    const { body } = await session.poll();
    if (!body.startsWith('40/rooms,')) throw new Error(`Not connected: ${body}`);
    return session;
  }

  get address(): string {
    return `${this.#url}/socket.io/?EIO=4&transport=polling&sid=${this.sid}`;
  }

  poll(): Promise<PollingResponse> {
    return sendRequest(this.address, 'GET');
  }

  post(body: string | Buffer): Promise<PollingResponse> {
    return sendRequest(this.address, 'POST', Buffer.from(body));
  }

  /** Announces a body of this length in the headers and sends nothing of it. */
  postWithoutBody(bytes: number): Promise<PollingResponse> {
    return sendRequest(this.address, 'POST', undefined, bytes);
  }
}

export const splitPackets = ({ body }: PollingResponse): string[] => body.split('\x1e');

function sendRequest(url: string, method: string, body?: Buffer, announced?: number): Promise<PollingResponse> {
  return new Promise((resolve, reject) => {
    const length = announced ?? body?.length;
    const headers =
      length === undefined ? {} : { 'Content-Length': length, 'Content-Type': 'text/plain;charset=UTF-8' };
    const asked = request(url, { method, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => {
        resolve({ status: response.statusCode!, body: text });
        asked.destroy();
      });
      response.on('error', reject);
    });
    asked.on('error', reject);
    if (announced === undefined) asked.end(body);
    else asked.flushHeaders();
  });
}

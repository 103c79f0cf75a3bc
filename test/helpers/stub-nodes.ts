import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { closeLater } from './cleanup.ts';

/** What a stub does with the n-th request (0, 1, 2…) of all requests to both stubs. */
export type Behaviour = (request: IncomingMessage, response: ServerResponse, n: number) => void;

/** Two servers in place of nodes, to test what a balancer does with responses that real nodes rarely give. */
export async function stubNodes(behave: Behaviour) {
  const requests: string[] = [];
  const ports: number[] = [];
  for (let node = 1; node <= 2; node++) {
    const server = createServer(async (request, response) => {
      if (request.url === '/readyz') return response.end('ready\n');
      request.resume();
      const n = requests.push(`${request.method} ${request.url}`) - 1;
      behave(request, response, n);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    ports.push((server.address() as AddressInfo).port);
    closeLater(() => {
      server.closeAllConnections();
      server.close();
    });
  }
  return { requests, ports: ports as [number, number] };
}

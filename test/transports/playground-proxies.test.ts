import { connect, createServer } from 'node:net';
import { expect } from 'chai';
import type { RunningServer } from '../../src/server.ts';
import { startProxy } from '../helpers/balancer.ts';
import { closeLater } from '../helpers/cleanup.ts';
import { embedded, startNode } from '../helpers/node.ts';
import { dataDirectory } from '../helpers/process.ts';
import { rest } from '../helpers/rest-client.ts';
import { createUser } from '../helpers/users.ts';

const nginx = (location: string) => (port: number, node: number) =>
  `
worker_processes 1;
pid nginx.pid;
error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  server { listen 127.0.0.1:${port}; location / { proxy_pass http://127.0.0.1:${node}; ${location} } }
}
`;
const haproxy = (port: number, node: number) => `
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
listen all
  bind 127.0.0.1:${port}
  server node 127.0.0.1:${node}
`;

/** Forwards bytes, as `socat`, `ssh -L` and the port forwarding of containers do. */
async function forwarder(node: number): Promise<string> {
  const server = createServer((socket) => {
    const upstream = connect(node, '127.0.0.1');
    for (const end of [socket, upstream]) end.on('error', () => {});
    socket.pipe(upstream).pipe(socket);
  });
  closeLater(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
}

const proxies: Record<string, (node: number) => Promise<string>> = {
  'nginx with HTTP/1.1 to the node': (node) => startProxy('nginx', nginx('proxy_http_version 1.1;'), node),
  "nginx's WebSocket snippet": (node) =>
    startProxy(
      'nginx',
      nginx('proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";'),
      node,
    ),
  HAProxy: (node) => startProxy('haproxy', haproxy, node),
  'a TCP forwarder': forwarder,
};

describe('POST /playground/token through a proxy that adds no header', () => {
  let node: RunningServer;

  before(async function () {
    this.timeout(60_000);
    node = await startNode(embedded, { JWT_SECRET: undefined }, (config) => ({
      ...config,
      dataDirectory: dataDirectory(),
    }));
  });

  for (const [title, start] of Object.entries(proxies)) {
    it(`answers 404 to a token request without the key through ${title}`, async () => {
      const key = new URL(node.playgroundUrl!).hash.slice('#key='.length);
      const url = await start(node.port);
      // An attacker who forges headers can send an Origin that matches the Host, whatever Host the proxy forwards.
      for (const Origin of [url, node.url]) {
        const ask = (headers: Record<string, string>) =>
          rest(url).post('/playground/token', createUser().claims, { Origin, ...headers });
        expect((await ask({})).status).to.equal(404);
        for (const Authorization of [`Bearer ${key}x`, 'Bearer ']) {
          expect((await ask({ Authorization })).status).to.equal(404);
        }
      }
      const { body } = await rest(url).get('/');
      expect(body).to.include('playground').and.not.include(key);
    });
  }
});

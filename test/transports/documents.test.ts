import { createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { createAsyncapiDocument } from '../../src/transports/http/documents/asyncapi.ts';
import { createOpenapiDocument } from '../../src/transports/http/documents/openapi.ts';
import { browserWindow } from '../helpers/chromium.ts';
import { closeLater } from '../helpers/cleanup.ts';
import { contracts } from '../helpers/contracts.ts';
import { describeOneWiring } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';

/** Starts a proxy that forwards a path prefix to the node, as a balancer does. */
async function mounted(url: string, prefix: string): Promise<string> {
  const { hostname, port } = new URL(url);
  const front = createServer(({ method, url: path = '/', headers }, response) => {
    if (!path.startsWith(`${prefix}/`)) return void response.writeHead(404).end();
    const onward = { hostname, port, method, headers, path: path.slice(prefix.length) };
    httpRequest(onward, (answer) => {
      response.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(response);
    }).end();
  });
  await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve));
  closeLater(() => {
    front.closeAllConnections();
    front.close();
  });
  return `http://127.0.0.1:${(front.address() as AddressInfo).port}${prefix}`;
}

describeOneWiring('the API documents', ({ url }) => {
  for (const [path, make] of Object.entries({
    '/openapi.json': () => createOpenapiDocument(contracts, 'public'),
    '/asyncapi.json': () => createAsyncapiDocument(contracts),
  })) {
    it(`serves ${path} without a token and to any origin, equal to the document that the other tests check`, async () => {
      const { status, headers, body } = await rest(url()).get(path);
      expect(status).to.equal(200);
      expect(body).to.deep.equal(JSON.parse(JSON.stringify(make())));
      expect(headers.get('Access-Control-Allow-Origin')).to.equal('*');
      expect(headers.get('X-Content-Type-Options')).to.equal('nosniff');
    });
  }

  it('serves /admin/openapi.json without a token and without CORS headers', async () => {
    const { status, headers, body } = await rest(url()).get('/admin/openapi.json');
    expect(status).to.equal(200);
    expect(body).to.deep.equal(JSON.parse(JSON.stringify(createOpenapiDocument(contracts, 'admin'))));
    expect(headers.get('Access-Control-Allow-Origin')).to.equal(null);
  });

  it('serves a documentation page whose scripts are files of the service', async () => {
    const { headers, body } = await rest(url()).get('/docs');
    expect(headers.get('Content-Security-Policy')).to.include("script-src 'self';").and.not.include('upgrade-insecure');
    expect(headers.get('Strict-Transport-Security')).to.be.a('string');
    expect(body).not.to.match(/<script(?![^>]* src="docs\/)[^>]*>|<script[^>]*>[^<]/);
  });

  it('serves only the files of Swagger UI that the page needs', async () => {
    for (const file of ['index.html', 'package.json', 'swagger-ui.js', '..%2fpackage.json']) {
      expect((await rest(url()).get(`/docs/${file}`)).status, file).to.equal(404);
    }
  });

  for (const [prefix, path] of [
    ['', '/docs'],
    ['/chat-service', '/docs/'],
  ] as const) {
    it(`shows every operation at ${prefix}${path} and tries one, without requests to other servers`, async () => {
      const base = await mounted(url(), prefix);
      const page = await (await browserWindow()).newPage();
      const asked: string[] = [];
      const complaints: string[] = [];
      page.on('request', (request) => asked.push(request.url()));
      page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
      page.on('pageerror', (error) => complaints.push(String(error)));
      await page.goto(base + path);
      await page.locator('.opblock').first().waitFor();
      const shown = await page.locator('.opblock-summary-path').allInnerTexts();
      const operations = Object.values(createOpenapiDocument(contracts, 'public').paths).flatMap(Object.keys);
      expect(shown).to.have.length(operations.length);
      const health = page.locator('#operations-operations-readHealth');
      await health.locator('.opblock-summary-control').click();
      await health.locator('.try-out__btn').click();
      const answered = page.waitForResponse((response) => response.url().endsWith('/healthz'));
      await health.locator('.execute').click();
      expect((await answered).url()).to.equal(`${base}/healthz`);
      expect((await answered).status()).to.equal(200);
      expect(asked.filter((one) => !one.startsWith(`${base}/`) && !one.startsWith('data:'))).to.deep.equal([]);
      expect(complaints).to.deep.equal([]);
    });
  }
});

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { type IncomingHttpHeaders, request } from 'node:http';
import { join } from 'node:path';
import { expect } from 'chai';
import { readConfig } from '../../src/config/config.ts';
import { migratedDirectory } from '../helpers/embedded-template.ts';
import type { Json } from '../helpers/json.ts';
import { describeOneWiring, embedded, startNode } from '../helpers/node.ts';
import { dataDirectory, runServer } from '../helpers/process.ts';
import { rest } from '../helpers/rest-client.ts';
import { createUser } from '../helpers/users.ts';

interface Asked {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

/** Sends the request unchanged: neither the path nor the Host is normalised. */
function ask(url: string, method: string, path: string, headers: Record<string, string> = {}, body?: string) {
  const { hostname, port } = new URL(url);
  return new Promise<Asked>((resolve, reject) => {
    const sent = request({ host: hostname, port, method, path, headers, agent: false }, (answer) => {
      let text = '';
      answer.on('data', (part) => {
        text += part;
      });
      answer.on('end', () => resolve({ status: answer.statusCode!, headers: answer.headers, body: text }));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

/** Starts a node with the embedded database and a separate data directory, which contains its key. */
const embeddedDefault = (settings = {}) =>
  startNode(embedded, { JWT_SECRET: undefined, ...settings }, (config) => ({
    ...config,
    dataDirectory: dataDirectory(),
  }));

let shared: ReturnType<typeof embeddedDefault> | undefined;

/** The suites of this file share one node. */
async function sharedUrl(): Promise<string> {
  shared ??= embeddedDefault();
  return (await shared).url;
}

/** Returns the key in the link to the page. A browser can get the key only from this link. */
const keyOf = ({ playgroundUrl }: { playgroundUrl: string | undefined }) =>
  /#key=(.+)$/.exec(playgroundUrl ?? '')?.[1] ?? 'none';

const sources = (directory: string) =>
  readdirSync(new URL(`../../${directory}/`, import.meta.url), 'utf8').filter((name) => name.endsWith('.ts'));

describe('PLAYGROUND', () => {
  const isOn = (env: Record<string, string>) => readConfig(env).playground;
  const key = { JWT_SECRET: 'a secret that the page has no part in' };

  it('is on by default only if the embedded default has made its own key', () => {
    expect(isOn({})).to.equal(true);
    expect(isOn({ PLAYGROUND: 'off' })).to.equal(false);
    expect(isOn(key)).to.equal(false);
    expect(isOn({ DATABASE_URL: 'postgres://127.0.0.1/x', ...key })).to.equal(false);
    expect(isOn({ PLAYGROUND: 'on', ...key })).to.equal(true);
  });

  it('rejects values of PLAYGROUND other than on and off', () => {
    expect(() => isOn({ PLAYGROUND: 'yes' })).to.throw('PLAYGROUND: must be auto, on or off');
  });
});

describeOneWiring('PLAYGROUND=off', ({ url }) => {
  it('answers every path of the playground with 404 NOT_FOUND if the playground is off', async () => {
    for (const [method, path] of [
      ['GET', '/'],
      ['GET', '/playground/style.css'],
      ['GET', '/playground/main.js'],
      ['POST', '/playground/token'],
    ] as const) {
      const { status, body } = await rest(url()).request(method, path);
      expect(status, path).to.equal(404);
      expect(body.meta.reason, path).to.equal('NOT_FOUND');
    }
  });
});

describe('the playground of the embedded default', () => {
  let url: string;
  let page: Asked;
  const get = (path: string, headers = {}) => ask(url, 'GET', path, headers);

  before(async () => {
    url = await sharedUrl();
    page = await get('/');
  });

  it('serves a page at / that loads nothing by an absolute path or from another host', () => {
    expect(page.status).to.equal(200);
    expect(page.headers['content-type']).to.match(/^text\/html\b/);
    expect(page.body).to.not.match(/(?:src|href)="(?:\/|[a-z]+:)/);
    expect(page.body).to.include('<meta name="tokens" content="made here">');
  });

  it('shows that the page is loading before any module has arrived, and links the reference', async () => {
    expect(page.body).to.include('Loading the playground…');
    expect((await get('/docs')).status).to.be.oneOf([200, 301, 302, 308]);
  });

  it('allows only its own scripts, and the import map by its hash', () => {
    const policy = String(page.headers['content-security-policy']);
    const [, importMap] = /<script type="importmap">(.+?)<\/script>/.exec(page.body)!;
    const hash = createHash('sha256').update(importMap!).digest('base64');
    expect(policy).to.include(`script-src 'self' 'sha256-${hash}';`).and.include("default-src 'none'");
    expect(policy).to.include("style-src 'self';").and.not.include('unsafe');
    expect(policy).to.include("connect-src 'self' ws: wss:").and.include("frame-ancestors 'none'");
    expect(page.body.match(/<script(?![^>]*(?:importmap|src=))/g)).to.equal(null);
    expect(page.body).to.not.match(/ style=| on[a-z]+=/);
  });

  /** Resolves an import as a browser does. */
  function mapped(name: string): string {
    const { imports } = JSON.parse(/<script type="importmap">(.+?)<\/script>/.exec(page.body)![1]!);
    const prefix = Object.keys(imports).find((key) => key.endsWith('/') && name.startsWith(key)) ?? name;
    return new URL(
      (imports[name] ?? imports[prefix]) + name.slice(imports[name] ? name.length : prefix.length),
      'http://x/',
    ).pathname;
  }

  /** They import packages that the playground does not use. */
  const entriesOfOthers = new Set(['react.ts', 'rest.ts']);

  it('serves every module of the playground and its imports, without types', async () => {
    const modules = [
      ...sources('playground').map((name) => name),
      ...sources('playground/views').map((name) => `views/${name}`),
      ...sources('src/client')
        .filter((name) => !entriesOfOthers.has(name))
        .map((name) => `client/${name}`),
    ];
    expect(modules).to.include.members(['main.ts', 'views/app.ts', 'client/client.ts']);
    for (const path of modules) {
      const { status, headers, body } = await get(`/playground/${path}`);
      expect(status, path).to.equal(200);
      expect(headers['content-type'], path).to.match(/^text\/javascript\b/);
      expect(body, path).to.not.match(/\binterface \w+ \{|: string[;,)]/);
      for (const [, from, bare] of body.matchAll(/\bfrom '([^']+)'|\bimport '([^']+)'/g)) {
        const name = (from ?? bare)!;
        const found = name.startsWith('.') ? new URL(name, `http://x/playground/${path}`).pathname : mapped(name);
        expect((await get(found)).status, `${path} → ${name}`).to.equal(200);
      }
    }
  });

  it('serves the imported files of packages and no others', async () => {
    for (const path of [
      'lit/index.js',
      'lit-html/lit-html.js',
      'lit-html/is-server.js',
      'lit-element/lit-element.js',
    ]) {
      expect((await get(`/playground/vendor/${path}`)).status, path).to.equal(200);
    }
    for (const path of [
      'lit/package.json',
      'lit/README.md',
      'lit-html/node/lit-html.js',
      'socket.io-client/package.json',
      'socket.io-client/dist/socket.io.js',
      'express/index.js',
      'constructor/index.js',
      '__proto__/index.js',
      'toString/index.js',
    ]) {
      expect((await get(`/playground/vendor/${path}`)).status, path).to.equal(404);
    }
  });

  for (const path of [
    '/playground/../package.json',
    '/playground/%2e%2e/package.json',
    '/playground/..%2fpackage.json',
    '/playground/..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd',
    '/playground/client/..%2fconfig.ts',
    '/playground/client/../config.ts',
    '/playground/views/..%5c..%5cpackage.json',
    '/playground/vendor/lit/../express/index.js',
    '/playground/vendor/lit/..%2fexpress%2findex.js',
    '/playground/vendor/lit/%2e%2e/package.json',
    '/playground/vendor/../../package.json',
    '/playground/vendor/%2fetc%2fpasswd/x.js',
    '/playground//etc/passwd',
    '/playground/style.css%00.js',
    '/playground/README.md',
    '/playground/tsconfig.json',
    '/playground/index.html',
    '/playground/config.ts',
    '/playground/token.js',
    '/playground/',
    '/playground',
  ]) {
    it(`does not serve ${path}`, async () => {
      const { status, body } = await get(path);
      expect(status).to.be.oneOf([400, 404]);
      expect(JSON.parse(body).meta.code).to.equal(status);
    });
  }

  it('makes browsers revalidate each file', async () => {
    const versions = new Set();
    const paths = ['/', '/playground/main.js', '/playground/style.css', '/playground/vendor/lit/index.js'];
    for (const path of paths) {
      const { headers } = await get(path);
      versions.add(headers.etag);
      expect(headers['cache-control'], path).to.equal('no-cache');
      expect((await get(path, { 'If-None-Match': headers.etag })).status, path).to.equal(304);
      expect((await get(path, { 'If-None-Match': '"another"' })).status, path).to.equal(200);
    }
    expect(versions.size, 'distinct versions').to.equal(paths.length);
  });

  it('sends no CORS header and forbids embedding', async () => {
    for (const path of ['/', '/playground/main.js']) {
      const { headers } = await get(path, { Origin: 'http://evil.example' });
      expect(headers).to.not.have.property('access-control-allow-origin');
      expect(headers).to.include({ 'cross-origin-resource-policy': 'same-origin' });
    }
  });
});

describe('the link to the playground', () => {
  it('logs a link with the key of the data directory, which only its owner can read', async () => {
    const DATA_DIR = await migratedDirectory();
    const { url, kill, exited } = await runServer({ DATA_DIR });
    kill('SIGTERM');
    const { output } = await exited;
    const { playgroundUrl } = output
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Json)
      .find((line) => line.url === url)!;
    const file = join(DATA_DIR, 'playground-key');
    expect(playgroundUrl).to.equal(`${url}/#key=${readFileSync(file, 'utf8').trim()}`);
    expect(playgroundUrl).to.match(/#key=[\w-]{43}$/);
    expect(statSync(file).mode & 0o777).to.equal(0o600);
  });
});

interface Wanted {
  headers?: Record<string, string | undefined>;
  body?: unknown;
}

/** Sends the same token request as the page. `headers` and other given parts replace those of the page. */
async function askForToken(url: string, { headers = {}, body = createUser().claims }: Wanted = {}): Promise<Asked> {
  const { host } = new URL(url);
  const key = keyOf(await shared!);
  const own = {
    Host: host,
    Origin: `http://${host}`,
    Authorization: `Bearer ${key}`,
    'Content-Type': 'application/json',
  };
  const given = Object.entries({ ...own, ...headers }).filter(([, value]) => value !== undefined);
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return ask(url, 'POST', '/playground/token', Object.fromEntries(given) as Record<string, string>, text);
}

const tokenOf = ({ body }: Asked): string => JSON.parse(body).content.token;
const payloadOf = (token: string): Json => JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString());

/** Headers that may differ between two answers to the same kind of request. */
const passing = ['date', 'content-length', 'connection', 'keep-alive'];
const lasting = (headers: IncomingHttpHeaders) =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !passing.includes(name)));

/** Expects exactly the answer that an unknown path gets. */
async function expectNoRoute(url: string, wanted: Wanted = {}): Promise<void> {
  const answer = await askForToken(url, wanted);
  const { Origin } = wanted.headers ?? {};
  const unknown = await ask(url, 'POST', '/playground/unknown', Origin ? { Origin } : {});
  expect(answer.status).to.equal(404);
  expect(JSON.parse(answer.body)).to.deep.equal(JSON.parse(unknown.body.replaceAll('unknown', 'token')));
  expect(lasting(answer.headers)).to.deep.equal(lasting(unknown.headers));
}

describe('POST /playground/token', () => {
  let url: string;

  before(async () => {
    url = await sharedUrl();
  });

  it('gives its own page a token that the server accepts, for an hour and without CORS', async () => {
    const { user, entity } = createUser();
    const wish = { userUUID: user, entityUUID: entity, levelOnEntity: 100, scope: 'rooms:create', exp: 9e9, jti: 'x' };
    const answer = await askForToken(url, { body: wish });
    expect(answer.status).to.equal(200);
    expect(answer.headers).to.not.have.property('access-control-allow-origin');
    expect(answer.headers).to.include({ 'cache-control': 'no-store' });
    const claims = payloadOf(tokenOf(answer));
    expect(claims).to.deep.include({ userUUID: user, entityUUID: entity, levelOnEntity: 100, scope: 'rooms:create' });
    expect(claims.exp - claims.iat).to.equal(3_600);
    expect(claims).to.not.have.property('jti');
    expect((await rest(url, tokenOf(answer)).post('/rooms', { name: 'Of the page' })).status).to.equal(200);
  });

  it('gives the page tokens at localhost and [::1], too', async () => {
    const { port } = new URL(url);
    for (const host of [`localhost:${port}`, `[::1]:${port}`]) {
      const answer = await askForToken(url, { headers: { Host: host, Origin: `http://${host}` } });
      expect(answer.status, host).to.equal(200);
    }
  });

  it('accepts a request with the key, whatever headers a proxy adds', async () => {
    const headers = { 'X-Forwarded-For': '10.0.0.1', Via: '1.1 proxy', Forwarded: 'for=10.0.0.1' };
    expect((await askForToken(url, { headers })).status).to.equal(200);
    await expectNoRoute(url, { headers: { ...headers, Authorization: undefined } });
  });

  const others: Record<string, Wanted['headers']> = {
    'no Origin': { Origin: undefined },
    'the origin null': { Origin: 'null' },
    'the origin of another port': { Origin: 'http://127.0.0.1:1' },
    'the origin of another site': { Origin: 'https://evil.example' },
    'another name for this machine, as in DNS rebinding': {
      Host: 'evil.example',
      Origin: 'http://evil.example',
    },
    'no key': { Authorization: undefined },
    'another key': { Authorization: `Bearer ${'x'.repeat(43)}` },
    'a prefix of the key': { Authorization: 'Bearer ' },
  };
  for (const [title, headers] of Object.entries(others)) {
    it(`answers 404 to a token request with ${title}`, () => expectNoRoute(url, { headers: headers! }));
  }

  it('answers a preflight with no headers that let another page read the token', async () => {
    const headers = { Origin: 'http://evil.example', 'Access-Control-Request-Method': 'POST' };
    const { status } = await ask(url, 'OPTIONS', '/playground/token', headers);
    const { status: elsewhere } = await ask(url, 'OPTIONS', '/playground/unknown', headers);
    expect(status).to.equal(elsewhere);
    await expectNoRoute(url, { headers: { Origin: 'http://evil.example' } });
  });

  it('answers 404 to a GET of the token', async () => {
    const { host } = new URL(url);
    expect((await ask(url, 'GET', '/playground/token', { Origin: `http://${host}` })).status).to.equal(404);
  });

  for (const body of ['{', 'null', '[]', {}, { userUUID: 'x' }, { ...createUser().claims, levelOnEntity: 1.5 }]) {
    it(`rejects the token request ${JSON.stringify(body).slice(0, 40)} with 400 and without CORS headers`, async () => {
      const { status, headers, body: text } = await askForToken(url, { body });
      expect(status).to.equal(400);
      expect(JSON.parse(text).meta.reason).to.equal('BAD_REQUEST');
      expect(headers).to.not.have.property('access-control-allow-origin');
    });
  }
});

describeOneWiring('POST /playground/token of another server', (other) => {
  it('answers 404 to a token request if other machines can reach the server, although the page is served', async () => {
    const { port } = await embeddedDefault({ HOST: '0.0.0.0' });
    const url = `http://127.0.0.1:${port}`;
    const page = await ask(url, 'GET', '/');
    expect(page.status).to.equal(200);
    expect(page.body).to.include('<meta name="tokens" content="pasted">');
    await expectNoRoute(url);
  });

  it('logs a link without a key if the page cannot use it', async () => {
    const configured = await other.startNode({ PLAYGROUND: 'on' });
    expect(configured.playgroundUrl).to.equal(`${configured.url}/`);
    const withoutPage = await other.startNode({});
    expect(withoutPage.playgroundUrl).to.equal(undefined);
  });

  it('answers 404 to a token request if the key is configured, although PLAYGROUND=on serves the page', async () => {
    const { url } = await other.startNode({ PLAYGROUND: 'on' });
    const page = await ask(url, 'GET', '/');
    expect(page.status).to.equal(200);
    expect(page.body).to.include('<meta name="tokens" content="pasted">');
    await expectNoRoute(url);
  });
});

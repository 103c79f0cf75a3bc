import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import { SignJWT } from 'jose';
import { z } from 'zod';
import { tokenAuthenticator } from '../../../src/auth/token-verification.ts';
import { environment, readConfig } from '../../../src/config/config.ts';
import { closeCodes, type ErrorCode, errors, RemovalCode } from '../../../src/core/errors.ts';
import { findingParts, findings } from '../../../src/legacy-import/findings.ts';
import { originalTables } from '../../../src/legacy-import/legacy-tables.ts';
import { ChatFrame, CommandId, chatCommands, chatFrames } from '../../../src/protocol/chat-commands.ts';
import { type Answer, Refusal, type Route, refusals } from '../../../src/protocol/rest/route.ts';
import { restRoutes } from '../../../src/protocol/rest-routes.ts';
import {
  acceptedAck,
  announcements,
  ConnectError,
  RefusedAck,
  type RequestName,
  requests,
} from '../../../src/protocol/socket-events.ts';

const root = new URL('../../../', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), 'utf8');
const protocol = read('docs/protocol/README.md');
const readme = read('README.md');
const manifest = JSON.parse(read('package.json')) as Record<
  'dependencies' | 'devDependencies' | 'optionalDependencies' | 'scripts',
  Record<string, string>
>;

/** The routes that the document is about. */
const routes: Record<string, Route> = Object.fromEntries(
  Object.entries<Route>(restRoutes).filter(([, { path }]) => path.startsWith('/rooms')),
);
const fenceOf = (route: string) => `rest.${route[0]!.toUpperCase()}${route.slice(1)}`;

/** What a client sends. */
const incoming: Record<string, z.ZodType> = {
  ...Object.fromEntries(
    Object.entries(routes).flatMap(([name, { body }]) => (body ? [[fenceOf(name), body.schema]] : [])),
  ),
  ...named(
    chatCommands,
    (name) => `ChatCommand.${name}`,
    (command) => command,
  ),
  ...named(
    requests,
    (name) => `requests.${name}.payload`,
    ({ payload }) => payload,
  ),
};

/** What a server sends. */
const outgoing: Record<string, z.ZodType> = {
  'rest.Refusal': Refusal,
  ...named(
    routes,
    (name) => `${fenceOf(name)}.answer`,
    ({ answers }) => z.union(Object.values<Answer>(answers).map(({ schema }) => schema)),
  ),
  ChatFrame,
  ConnectError,
  RefusedAck,
  ...named(
    requests,
    (name) => `requests.${name}.ack`,
    (_request, name) => acceptedAck(name as RequestName),
  ),
  ...named(
    announcements,
    (name) => `announcements.${name}`,
    (payload) => payload,
  ),
};

function named<T>(
  table: Record<string, T>,
  nameOf: (name: string) => string,
  schemaOf: (entry: T, name: string) => z.ZodType,
): Record<string, z.ZodType> {
  return Object.fromEntries(Object.entries(table).map(([name, entry]) => [nameOf(name), schemaOf(entry, name)]));
}

interface Example {
  schema: string;
  json: string;
  line: number;
}

function fencesOf(text: string): Example[] {
  return [...text.matchAll(/^```json(.*)\n([\s\S]*?)^```$/gm)].map(({ 1: schema, 2: json, index }) => ({
    schema: schema!.trim(),
    json: json!,
    line: text.slice(0, index).split('\n').length,
  }));
}

/** `3. Client: …` and `4. Server: …` of the sample sessions, each as an example of what it must be. */
function sessionLines(text: string): Example[] {
  const found = text.matchAll(/^\d+\. (Client|Server|Ack): (?:`([a-z:]+)` )?`(\{.*\})`$/gm);
  return [...found].map(({ 1: who, 2: event, 3: json, index }) => ({
    schema: sessionSchema(who!, event, json!),
    json: json!,
    line: text.slice(0, index).split('\n').length,
  }));
}

function sessionSchema(who: string, event: string | undefined, json: string): string {
  if (event === undefined) return who === 'Server' ? 'ChatFrame' : `ChatCommand.${JSON.parse(json).type}`;
  if (who === 'Server') return `announcements.${event}`;
  return `requests.${event}.${who === 'Ack' ? 'ack' : 'payload'}`;
}

/** The first example that does not say what it is an example of, or is none. */
function check({ schema, json }: Example): void {
  const example: unknown = JSON.parse(json);
  const sent = incoming[schema];
  if (!sent) {
    const frame = outgoing[schema];
    if (!frame) throw new Error(`there is no schema ${schema || 'for a fence without a name'}`);
    // Equal to what is left of it: nothing in it is unknown to the schema.
    expect(frame.parse(example)).to.deep.equal(example);
    return;
  }
  const { id, msg, ...known } = example as Record<string, unknown>;
  expect(Object.keys(sent.parse(example) as object)).to.include.members(Object.keys(known));
  if (schema.startsWith('ChatCommand.')) CommandId.optional().parse(id);
  else expect(id, 'only commands have an id').to.equal(undefined);
}

const headings = (text: string) => [...text.matchAll(/^#{3,4} `(.+)`$/gm)].map((match) => match[1]!);

/** The part from a heading to the next one of its level. */
function section(text: string, heading: string): string {
  const level = heading.split(' ', 1)[0]!;
  const [, after = ''] = text.split(`\n${heading}\n`);
  return after.split(new RegExp(`^${level} `, 'm'), 1)[0]!;
}

/** The cells of a table's rows, by the first one. */
function rows(text: string): Map<string, string[]> {
  const cells = [...text.matchAll(/^\|(.+)\|$/gm)].map((row) => row[1]!.split('|').map((cell) => cell.trim()));
  return new Map(cells.map(([first, ...others]) => [first!.replaceAll('`', ''), others]));
}

/** The anchor that a heading has on GitHub. */
const anchorOf = (heading: string) =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');

function anchorsOf(text: string): Set<string> {
  const seen = new Map<string, number>();
  const withoutFences = text.replaceAll(/^```[\s\S]*?^```$/gm, '');
  return new Set(
    [...withoutFences.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => {
      const anchor = anchorOf(heading!);
      const before = seen.get(anchor) ?? 0;
      seen.set(anchor, before + 1);
      return before === 0 ? anchor : `${anchor}-${before}`;
    }),
  );
}

describe('the protocol document', () => {
  const examples = [...fencesOf(protocol), ...sessionLines(protocol)];

  for (const example of examples.filter(({ schema }) => schema !== 'TokenClaims')) {
    it(`line ${example.line} is a true ${example.schema || '(nameless fence)'}`, () => check(example));
  }

  it('shows claims that make a token', async () => {
    const { json } = examples.find(({ schema }) => schema === 'TokenClaims')!;
    const claims = JSON.parse(json);
    const token = await new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).sign(Buffer.from('a test'));
    const keys = { source: 'secrets' as const, secrets: ['a test'] };
    const authenticator = tokenAuthenticator({
      keys,
      audiences: [claims.aud],
      issuers: [claims.iss],
      isRevoked: () => false,
    });
    expect(await authenticator.verify(token)).to.deep.equal({
      actor: { user: claims.userUUID, entity: claims.entityUUID, level: claims.levelOnEntity, mayCreateRooms: true },
      issuedAt: claims.iat,
      expiresAt: claims.exp,
      jti: claims.jti,
    });
  });

  it('has an example of everything that travels', () => {
    const shown = new Set(examples.map(({ schema }) => schema));
    const missing = [...Object.keys(incoming), ...Object.keys(outgoing)].filter((name) => !shown.has(name));
    expect(missing).to.deep.equal([]);
  });

  it('has two sample sessions, every line of which is parsed', () => {
    const sessions = section(protocol, '## Sample sessions');
    const told = sessions.match(/^\d+\. (Client|Server|Ack): /gm) ?? [];
    expect(sessionLines(sessions)).to.have.length(told.length).above(20);
  });

  it('has a heading for every command and every frame of /chat', () => {
    const chat = section(protocol, '## /chat');
    expect(headings(section(chat, '### Commands'))).to.have.members(Object.keys(chatCommands));
    expect(headings(section(chat, '### Frames of the server'))).to.have.members(Object.keys(chatFrames));
  });

  it('has a heading for every request and announcement of Socket.IO', () => {
    const socketio = section(protocol, '## Socket.IO');
    expect(headings(section(socketio, '### Requests'))).to.have.members(Object.keys(requests));
    expect(headings(section(socketio, '### Announcements'))).to.have.members(Object.keys(announcements));
  });

  it('has a heading for every route, and none for others', () => {
    const named = Object.values(routes).map(({ method, path }) => `${method} ${path}`);
    expect(headings(section(protocol, '## REST'))).to.have.members(named);
  });

  for (const { method, path, refusals: all } of Object.values(routes)) {
    it(`names the codes that are special to ${method} ${path}, and no others as refused`, () => {
      const common: readonly ErrorCode[] = path.startsWith('/rooms/:id') ? refusals.room : refusals.user;
      const text = section(section(protocol, '## REST'), `### \`${method} ${path}\``);
      const special = all.filter((code) => !common.includes(code) && code !== 'FORBIDDEN');
      const told = [...(text.match(/Refuses:[\s\S]*?(?=\n\n|$)/)?.[0] ?? '').matchAll(/`([A-Z_]+)`/g)].map(
        ([, code]) => code!,
      );
      expect(told).to.include.members(special);
      expect(all).to.include.members(told);
    });
  }

  for (const [name, { refusals: all }] of Object.entries(requests)) {
    it(`names the codes that ${name} refuses with`, () => {
      const text = section(section(protocol, '## Socket.IO'), `#### \`${name}\``);
      const told = [...text.matchAll(/`([A-Z_]+)`/g)].map(([, code]) => code!);
      const common: readonly string[] = ['BAD_REQUEST', 'RATE_LIMITED', 'INTERNAL', 'UNAVAILABLE'];
      expect(told).to.include.members(all.filter((code) => !common.includes(code)));
      expect(all).to.include.members(told);
    });
  }

  it('has a true row for every error', () => {
    const table = rows(section(protocol, '## Errors'));
    for (const [code, { http, chat, retry }] of Object.entries(errors)) {
      expect(table.get(code)?.slice(0, 3), code).to.deep.equal([String(http), `\`${chat}\``, retry ? 'yes' : 'no']);
    }
  });

  it('has a row for every removal', () => {
    const table = rows(section(protocol, '## Removal codes'));
    expect([...table.keys()]).to.include.members(RemovalCode.options);
  });

  it('has a true row for every close code', () => {
    const table = rows(section(protocol, '## Close codes'));
    for (const { code, reason, reconnect } of Object.values(closeCodes)) {
      expect(table.get(String(code))?.slice(0, 2), String(code)).to.deep.equal([reason, reconnect ? 'yes' : 'no']);
    }
  });

  it('names the limits as they are', () => {
    const limits = section(protocol, '## Limits');
    const { contentBytes, frameBytes, connectionsPerUser, roomsPerConnection, sendBurst, sendRate } = readConfig(
      {},
    ).limits;
    for (const amount of [contentBytes, frameBytes]) expect(limits).to.include(amount.toLocaleString('en'));
    expect(limits).to.include(`${sendBurst} in ${sendBurst / sendRate} s`);
    expect(limits).to.include(`| ${roomsPerConnection} |`).and.to.include(`| ${connectionsPerUser}, `);
  });
});

describe('the README', () => {
  const settings = rows(section(readme, '## Settings'));

  for (const [name, schema] of Object.entries(environment.shape)) {
    it(`has a true row for ${name}`, () => {
      const [what, fallback] = settings.get(name) ?? [];
      const given = (environment.parse({}) as Record<string, unknown>)[name];
      const shown = fallback?.replaceAll(/[`,]/g, '');
      if (name === 'HOST') expect(shown).to.include(readConfig({}).host);
      else expect(shown).to.equal(given === undefined ? 'not set' : String(given));
      if (schema.description) expect(what).to.include('0: off');
    });
  }

  it('has no settings that there are not', () => {
    const names = [...settings.keys()].filter((name) => /^[A-Z_]+$/.test(name));
    expect(names).to.have.members(Object.keys(environment.shape));
  });

  it('gives a reason for every dependency', () => {
    const reasons = rows(section(readme, '## Dependencies'));
    const named = [...reasons.keys()].flatMap((names) => names.split(', '));
    const all = [manifest.dependencies, manifest.optionalDependencies, manifest.devDependencies].flatMap(Object.keys);
    const isNamed = (name: string) => named.includes(name) || named.includes(name.replace(/\/.*/, '/*'));
    expect(all.filter((name) => !isNamed(name))).to.deep.equal([]);
    expect(named.filter((name) => name !== 'package' && !name.startsWith('-') && !isKnown(name))).to.deep.equal([]);
    function isKnown(name: string): boolean {
      return all.some((known) => known === name || (name.endsWith('/*') && known.startsWith(name.slice(0, -1))));
    }
  });

  it('runs scripts that there are', () => {
    const run = [...readme.matchAll(/npm (?:run (?:-s )?)?([a-z:]+)/g)].map((match) => match[1]!);
    const known = [...Object.keys(manifest.scripts), 'ci', 'exec', 'install', 'pack'];
    expect(run.filter((name) => !known.includes(name))).to.deep.equal([]);
  });
});

describe('docs/migrating.md', () => {
  const migrating = read('docs/migrating.md');

  for (const [part, title] of Object.entries(findingParts)) {
    it(`explains what an import says under "${title}", in its words`, () => {
      const explained = rows(section(migrating, `### ${title}`));
      explained.delete('it says');
      explained.delete('---');
      const said = Object.values(findings).filter(([of]) => of === part);
      expect([...explained.keys()]).to.deep.equal(said.map(([, words]) => words));
    });
  }

  it('names the columns without which nothing is taken over', () => {
    const [, needed] = /Needed are([\s\S]*?)What is missing/.exec(migrating)!;
    const named = [...needed!.matchAll(/`"?(\w+)"?`/g)].map((match) => match[1]!);
    const columns = Object.values(originalTables).flatMap((table) =>
      Object.entries<{ kind: string; why?: string }>(table.columns),
    );
    expect(named).to.deep.equal(columns.filter(([, { why }]) => why).map(([name]) => name));
  });
});

describe('README.es.md', () => {
  const spanish = read('README.es.md');

  it('has the settings of README.md, with the same defaults', () => {
    const inSpanish = (text = '') => text.replace('not set', 'sin definir').replace(' with ', ' con ');
    const defaults = (text: string, title: string) =>
      [...rows(section(text, title))].map(([name, [, fallback]]) => [name, inSpanish(fallback)]);
    expect(defaults(spanish, '## Ajustes').slice(1)).to.deep.equal(defaults(readme, '## Settings').slice(1));
  });

  it('has the same parts, commands, figures and links', () => {
    const bare = (text: string) => text.replaceAll(/ *\/\/.*$/gm, '');
    const blocks = (text: string) => [...text.matchAll(/^```\w+\n[\s\S]*?^```$/gm)].map(([block]) => bare(block));
    expect(blocks(spanish)).to.deep.equal(blocks(readme));
    const titles = (text: string) => [...text.matchAll(/^#+ /gm)].length;
    expect(titles(spanish)).to.equal(titles(readme));
    const figures = (text: string, title: string) =>
      [...section(text, title).matchAll(/\| ([\d.,]+)/g)].map(([, figure]) => figure!.replaceAll(/[.,]/g, ''));
    expect(figures(spanish, '## Qué rapidez tiene')).to.deep.equal(figures(readme, '## How fast'));
    const targets = (text: string) => [...text.matchAll(/\]\(((?!README)[^)\s]+)\)/g)].map((match) => match[1]);
    expect(targets(spanish)).to.deep.equal(targets(readme));
  });
});

describe('ARCHITECTURE.md', () => {
  it('names the files that there are', () => {
    const files = readdirSync(new URL('src/', root), { recursive: true, encoding: 'utf8' });
    const named = [...read('ARCHITECTURE.md').matchAll(/(?<![*\w.-])[\w./-]+\.ts\b/g)].map(([name]) => name);
    const exists = (name: string) =>
      files.some((file) => file === name || file.endsWith(`/${name}`)) || existsSync(new URL(name, root));
    expect(named).to.have.length.above(50);
    expect(named.filter((name) => !exists(name))).to.deep.equal([]);
  });
});

describe('secrets in the documents', () => {
  const folders = ['', 'docs/', 'docs/operations/', 'deploy/', 'examples/', 'examples/backend/', 'playground/'];
  const documents = folders.flatMap((folder) =>
    readdirSync(new URL(folder, root), { withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.(md|ya?ml|sh|js|py|conf|cfg|service|env)$|^Dockerfile$/.test(entry.name))
      .map(({ name }) => `${folder}${name}`),
  );
  const assigned =
    /\b(JWT_SECRET|ADMIN_TOKEN|METRICS_TOKEN|POSTGRES_PASSWORD|REDIS_PASSWORD)=("[^"]*"|'[^']*'|[^\s`]+)/g;
  /** What a shell puts in its place, or what no service accepts. */
  const isSafe = (name: string, value: string) => {
    const bare = value.replaceAll(/["']/g, '');
    if (/^[$%]|^…$|^\.\.\.$/.test(bare)) return true;
    if (!(name in environment.shape)) return false;
    return !environment.shape[name as keyof typeof environment.shape].safeParse(bare).success;
  };

  it('are made by a command, or refused by the service', () => {
    const found = documents.flatMap((path) =>
      [...read(path).matchAll(assigned)].map(([, name, value]) => ({ path, name: name!, value: value! })),
    );
    expect(found).to.have.length.above(3);
    expect(found.filter(({ name, value }) => !isSafe(name, value))).to.deep.equal([]);
  });
});

describe('links of the documents', () => {
  const guides = readdirSync(new URL('docs/', root)).filter((name) => name.endsWith('.md'));
  const documents = [
    'README.md',
    'README.es.md',
    'ARCHITECTURE.md',
    'docs/protocol/README.md',
    'examples/README.md',
    'playground/README.md',
    ...guides.map((name) => `docs/${name}`),
  ];
  for (const path of documents) {
    it(`of ${path} lead somewhere`, () => {
      const here = new URL(path, root);
      const links = [...readFileSync(here, 'utf8').matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1]!);
      const broken = links.filter((link) => {
        if (/^https?:/.test(link)) return false;
        const [file, anchor] = link.split('#') as [string, string?];
        const target = file === '' ? here : new URL(file, here);
        if (!existsSync(target)) return true;
        return anchor !== undefined && !anchorsOf(readFileSync(target, 'utf8')).has(anchor);
      });
      expect(broken).to.deep.equal([]);
    });
  }
});

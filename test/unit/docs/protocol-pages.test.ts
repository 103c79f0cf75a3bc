import { expect } from 'chai';
import { SignJWT } from 'jose';
import { z } from 'zod';
import { createAuthenticator } from '../../../src/auth/token-verification.ts';
import { readConfig } from '../../../src/config/config.ts';
import { environment, settingRows } from '../../../src/config/environment.ts';
import { CommandId } from '../../../src/core/contract/chat.ts';
import { type Answer, Refusal, refusals } from '../../../src/core/contract/rest.ts';
import { ConnectError, defineAcceptedAck, RefusedAck, serverEvents } from '../../../src/core/contract/socketio.ts';
import { closeCodes, ErrorCode, errors, RemovalCode, tokenErrorCodes } from '../../../src/core/errors.ts';
import { Message } from '../../../src/core/log/message.ts';
import { PermissionRule, Room } from '../../../src/core/room.ts';
import {
  type ChatCommandName,
  chatCommands,
  chatFrames,
  featureEvents,
  type RequestName,
  requests,
  routes,
  routeTitle,
} from '../../helpers/contracts.ts';
import {
  codeHeadings,
  codesIn,
  fences,
  lineAt,
  markdownIn,
  readDocument,
  rowsByName,
  section,
  tableRows,
} from '../../helpers/markdown.ts';

const shelf = 'docs/protocol/';
const pages = new Map(markdownIn(shelf).map((path) => [path.slice(shelf.length), readDocument(path)]));
const page = (name: string): string => {
  const text = pages.get(name);
  if (text === undefined) throw new Error(`${shelf}${name} does not exist`);
  return text;
};
const features = [...pages].filter(([name]) => name.startsWith('features/'));

const fenceName = (route: string) => `rest.${route[0]!.toUpperCase()}${route.slice(1)}`;

/** Schemas of what a client sends, by the names of their examples. */
const incoming: Record<string, z.ZodType> = {
  ...Object.fromEntries(routes.flatMap(({ name, route: { body } }) => (body ? [[fenceName(name), body.schema]] : []))),
  ...named(
    chatCommands,
    (name) => `ChatCommand.${name}`,
    ({ frame }) => frame,
  ),
  ...named(
    requests,
    (name) => `requests.${name}.payload`,
    ({ payload }) => payload,
  ),
};

const events: Record<string, z.ZodType> = { ...serverEvents, ...featureEvents };

const withExamples = routes.filter(({ feature }) => !['documents', 'client'].includes(feature));

/** Schemas of what a server sends, by the names of their examples. */
const outgoing: Record<string, z.ZodType> = {
  'rest.Refusal': Refusal,
  ...Object.fromEntries(
    withExamples.map(({ name, route: { answers } }) => [
      `${fenceName(name)}.answer`,
      z.union(Object.values<Answer>(answers).map(({ schema }) => schema)),
    ]),
  ),
  ChatFrame: z.union(Object.values(chatFrames)),
  ConnectError,
  RefusedAck,
  ...named(
    requests,
    (name) => `requests.${name}.ack`,
    (_request, name) => defineAcceptedAck(requests[name as RequestName]),
  ),
  ...named(
    events,
    (name) => `events.${name}`,
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
  value: () => unknown;
  where: string;
}

function examplesOf(name: string, text: string): Example[] {
  const blocks = fences(text).filter(({ language }) => language === 'json' || language === 'text');
  return [
    ...blocks.map(({ language, label, text: body, line }) => ({
      schema: label,
      value: () => (language === 'json' ? JSON.parse(body) : body),
      where: `${name}:${line}`,
    })),
    ...sessionLines(name, text),
  ];
}

/** The lines `3. Client: …` and `4. Server: …` of a session. */
function sessionLines(name: string, text: string): Example[] {
  const found = text.matchAll(/^\d+\. (Client|Server|Ack): (?:`([a-z:]+)` )?`(\{.*\})`$/gm);
  return [...found].map(({ 1: who, 2: event, 3: json, index }) => ({
    schema: sessionSchema(who!, event, json!),
    value: () => JSON.parse(json!),
    where: `${name}:${lineAt(text, index)}`,
  }));
}

function sessionSchema(who: string, event: string | undefined, json: string): string {
  if (event === undefined) return who === 'Server' ? 'ChatFrame' : `ChatCommand.${JSON.parse(json).type}`;
  if (who === 'Server') return `events.${event}`;
  if (who === 'Ack' && JSON.parse(json).ok === false) return 'RefusedAck';
  return `requests.${event}.${who === 'Ack' ? 'ack' : 'payload'}`;
}

function assertValid({ schema, value }: Example): void {
  const example = value();
  const sent = incoming[schema];
  if (!sent) {
    const received = outgoing[schema];
    if (!received) throw new Error(schema ? `${schema} is not the name of a schema` : 'the code block has no name');
    // Equal to the parsed value: the schema knows all of its keys.
    expect(received.parse(example)).to.deep.equal(example);
    return;
  }
  const { id, msg, ...known } = example as Record<string, unknown>;
  const parsed = sent.parse(example) as object;
  // A revocation is parsed into another form.
  if (schema !== 'rest.CreateRevocation') expect(Object.keys(parsed)).to.include.members(Object.keys(known));
  if (schema.startsWith('ChatCommand.')) CommandId.optional().parse(id);
  else expect(id, 'only commands have an id').to.equal(undefined);
}

describe('the examples in docs/protocol', () => {
  const examples = [...pages].flatMap(([name, text]) => examplesOf(name, text));

  for (const example of examples.filter(({ schema }) => schema !== 'TokenClaims')) {
    it(`shows a valid ${example.schema || 'example'} at ${example.where}`, () => assertValid(example));
  }

  it('shows the claims of a token that the server accepts', async () => {
    const claims = examples.find(({ schema }) => schema === 'TokenClaims')!.value() as Record<string, never>;
    const token = await new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).sign(Buffer.from('a test'));
    const keys = { source: 'secrets' as const, secrets: ['a test'] };
    const authenticator = createAuthenticator({
      keys,
      audiences: [claims.aud!],
      issuers: [claims.iss!],
      isRevoked: () => false,
    });
    expect(await authenticator.verify(token)).to.deep.equal({
      actor: { user: claims.userUUID, entity: claims.entityUUID, level: claims.levelOnEntity, mayCreateRooms: true },
      issuedAt: claims.iat,
      expiresAt: claims.exp,
      jti: claims.jti,
    });
  });

  it('shows an example of every request, answer, event and frame', () => {
    const shown = new Set(examples.map(({ schema }) => schema));
    const all = [...Object.keys(incoming), ...Object.keys(outgoing)];
    expect(all.filter((name) => !shown.has(name))).to.deep.equal([]);
  });

  for (const [name, text] of pages) {
    const session = section(text, '## A session');
    if (session === '') continue;
    it(`shows a session in ${name} in which every line can be parsed`, () => {
      const numbered = session.match(/^\d+\. (Client|Server|Ack): /gm) ?? [];
      expect(sessionLines(name, session)).to.have.length(numbered.length).at.least(3);
    });
  }

  it('shows a handler of live changes that skips duplicates and detects gaps', () => {
    const code = fences(section(page('log-and-cursors.md'), '## Applying live changes')).find(
      ({ language }) => language === 'js',
    )!.text;
    const run = new Function(
      'apply',
      'calls',
      `${code}
      const joinAgain = () => calls.push('join again since ' + cursor);
      return onChange;`,
    );
    const calls: unknown[] = [];
    const onChange = run((name: string, { rev }: { rev: number }) => calls.push(`${name} ${rev}`), calls);
    for (const rev of [1, 1, 2, 4]) onChange('message:new', { rev, cursor: `at ${rev}` });
    expect(calls).to.deep.equal(['message:new 1', 'message:new 2', 'join again since at 2']);
  });
});

describe('the pages in docs/protocol', () => {
  /** The names that have a heading in sections of this title, each with its page. */
  const described = (title: string) =>
    [...pages].flatMap(([name, text]) => codeHeadings(section(text, `## ${title}`), 3).map((what) => ({ name, what })));
  const names = (title: string) => described(title).map(({ what }) => what);

  it('describes every REST route once, on the page of its feature', () => {
    const expected = withExamples.map(({ feature, route }) => ({
      name: `features/${feature}.md`,
      what: routeTitle(route),
    }));
    expect(described('REST')).to.have.deep.members(expected);
  });

  it('lists the machine-readable descriptions in docs/protocol/README.md', () => {
    const table = rowsByName(section(page('README.md'), '## Machine-readable descriptions'));
    const expected = routes.filter(({ feature }) => feature === 'documents').map(({ route }) => routeTitle(route));
    expect([...table.keys()]).to.include.members(expected);
  });

  it('describes every Socket.IO request and event once', () => {
    expect(names('Socket.IO requests')).to.have.members(Object.keys(requests));
    expect([
      ...names('Socket.IO events'),
      ...codeHeadings(section(page('socketio.md'), '## Events'), 3),
    ]).to.have.members(Object.keys(events));
  });

  it('describes every /chat command and frame once', () => {
    expect(names('`/chat` commands')).to.have.members(Object.keys(chatCommands));
    expect(names('`/chat` frames')).to.have.members(Object.keys(chatFrames));
  });

  it('lists all routes, requests, events, commands and frames on the pages of the transports', () => {
    const listed = (name: string, heading: string) => [...rowsByName(section(page(name), heading)).keys()].slice(1);
    expect(listed('rest.md', '## Routes')).to.have.members(routes.map(({ route }) => routeTitle(route)));
    expect(listed('socketio.md', '## Requests')).to.have.members(Object.keys(requests));
    expect(listed('socketio.md', '## Events')).to.have.members(Object.keys(events));
    const chat = rowsByName(section(page('chat.md'), '## Commands and answers'));
    const both = [...Object.keys(chatCommands), ...Object.keys(chatFrames)];
    expect([...chat.keys()]).to.include.members(both);
    for (const [name, schema] of Object.entries(chatFrames)) {
      const [type] = (schema.shape.type as z.ZodLiteral).values;
      if (name !== 'message') expect(chat.get(name)?.[0], name).to.equal(`\`${type}\``);
    }
  });

  const objects: [name: string, heading: string, schema: z.ZodObject][] = [
    ['features/rooms.md', '## The room', Room],
    ['features/members.md', '## The rule', PermissionRule],
    ['features/messages.md', '## The message', Message],
  ];
  for (const [name, heading, { shape }] of objects) {
    it(`describes every field under "${heading.slice(3)}" in ${name}`, () => {
      const fields = tableRows(section(page(name), heading)).flatMap(([first]) => codesIn(first!));
      expect(fields).to.have.members(Object.keys(shape));
    });
  }

  for (const [name, { body, query }] of withExamples.map(({ route }) => [routeTitle(route), route] as const)) {
    const schemas = [body?.schema, query].filter((schema) => schema !== undefined);
    if (schemas.length === 0) continue;
    it(`describes every field that ${name} accepts`, () => {
      const { name: where } = described('REST').find(({ what }) => what === name)!;
      const text = page(where);
      const fields = schemas.flatMap((schema) => Object.keys(objectIn(schema)!.shape));
      expect(codesIn(tableRows(text).flat().join(' '))).to.include.members(fields);
    });
  }
});

/** The object schema inside a schema with transformations. */
function objectIn(schema: unknown): z.ZodObject | undefined {
  if (schema instanceof z.ZodObject) return schema;
  return schema instanceof z.ZodPipe ? (objectIn(schema.in) ?? objectIn(schema.out)) : undefined;
}

describe('the refusals in docs/protocol', () => {
  const access: readonly ErrorCode[] = ['NOT_FOUND', 'FORBIDDEN', 'BANNED'];
  const common = {
    'every REST route below /rooms': refusals.user,
    'every REST route below /admin': refusals.admin.filter((code) => !['UNAUTHENTICATED', 'NOT_FOUND'].includes(code)),
    'every Socket.IO request but connection:check': codesOfAll(
      Object.values(requests).filter(({ refusals }) => refusals.length > 1),
    ),
    'every /chat command but quit': codesOfAll(
      Object.values(chatCommands).filter(({ refusals }) => refusals.length > 0),
    ),
  } satisfies Record<string, readonly ErrorCode[]>;

  /** The codes that all of these operations can answer with. */
  function codesOfAll(all: readonly { refusals: readonly ErrorCode[] }[]): ErrorCode[] {
    return ErrorCode.options.filter((code) => all.every(({ refusals }) => refusals.includes(code)));
  }

  for (const [who, codes] of Object.entries(common)) {
    it(`lists the error codes that are common to ${who}`, () => {
      const [cell] = rowsByName(section(page('errors.md'), '### Common codes')).get(who) ?? [];
      const named = codesIn(cell!.split(';')[0]!);
      expect(named).to.have.members(codes);
    });
  }

  /** The codes that the page's table of refusals lists for an operation. */
  function documented(name: string, operation: string): ErrorCode[] {
    const rows = tableRows(section(page(name), '## Refusals')).filter(([, , where = '']) =>
      codesIn(where).includes(operation),
    );
    return [...new Set(rows.map(([code]) => ErrorCode.parse(code!.replaceAll('`', ''))))];
  }

  interface Operation {
    name: string;
    page: string;
    codes: readonly ErrorCode[];
    common: readonly ErrorCode[];
    hasRoom: boolean;
  }
  const home = (title: string, what: string) =>
    [...features, ['authentication.md', page('authentication.md')] as const].find(([, text]) =>
      codeHeadings(section(text, `## ${title}`), 3).includes(what),
    )?.[0];
  const operations: Operation[] = [
    ...withExamples.map(({ feature, route }) => ({
      name: routeTitle(route),
      page: `features/${feature}.md`,
      codes: route.refusals,
      common:
        route.auth === 'admin' ? common['every REST route below /admin'] : route.auth === 'user' ? refusals.user : [],
      hasRoom: route.path.startsWith('/rooms/:id'),
    })),
    ...Object.entries(requests).map(([name, { refusals: codes }]) => ({
      name,
      page: home('Socket.IO requests', name)!,
      codes,
      common: common['every Socket.IO request but connection:check'],
      hasRoom: access.every((code) => (codes as readonly ErrorCode[]).includes(code)),
    })),
    ...Object.entries(chatCommands)
      .filter(([name]) => name !== 'quit')
      .map(([name, { refusals: codes }]) => ({
        name,
        page: home('`/chat` commands', name as ChatCommandName)!,
        codes,
        common: [...common['every /chat command but quit'], ...(name === 'token' ? [] : (['BAD_REQUEST'] as const))],
        hasRoom: access.every((code) => (codes as readonly ErrorCode[]).includes(code)),
      })),
  ];

  for (const { name, page: where, codes, common, hasRoom } of operations) {
    it(`lists every refusal of ${name} in ${where}`, () => {
      const listed = documented(where, name);
      const special = codes.filter((code) => !common.includes(code) && !(hasRoom && access.includes(code)));
      expect(listed).to.include.members(special);
      expect(codes).to.include.members(listed);
    });
  }

  it('lists refusals only for operations that exist', () => {
    const known = new Set(operations.map(({ name }) => name));
    const named = [...pages].flatMap(([, text]) =>
      tableRows(section(text, '## Refusals')).flatMap(([, , where = '']) => codesIn(where)),
    );
    expect(named.filter((name) => !known.has(name))).to.deep.equal([]);
  });
});

describe('docs/protocol/errors.md', () => {
  const text = page('errors.md');

  it('describes every error code correctly in docs/protocol/errors.md', () => {
    const table = rowsByName(section(text, '## Error codes'));
    for (const [code, { http, chat, retry }] of Object.entries(errors)) {
      // On `/chat`, only the command `token` is answered with these codes.
      const frame = tokenErrorCodes.includes(code as ErrorCode) ? 'TOKEN?' : chat;
      expect(table.get(code)?.slice(0, 3), code).to.deep.equal([String(http), `\`${frame}\``, retry ? 'yes' : 'no']);
      expect(table.get(code)?.[4], code).to.be.a('string').and.not.equal('');
    }
  });

  it('describes every removal code in docs/protocol/errors.md', () => {
    const [, ...codes] = rowsByName(section(text, '## Removal codes')).keys();
    expect(codes).to.have.members(RemovalCode.options);
  });

  it('describes every close code correctly in docs/protocol/errors.md', () => {
    const table = rowsByName(section(text, '## Close codes'));
    expect(table.size - 1).to.equal(Object.keys(closeCodes).length);
    for (const { code, reason, reconnect } of Object.values(closeCodes)) {
      expect(table.get(String(code))?.slice(0, 2), String(code)).to.deep.equal([reason, reconnect ? 'yes' : 'no']);
    }
  });
});

describe('docs/protocol/limits.md', () => {
  const text = page('limits.md');
  const defaults = new Map<string, string | undefined>(settingRows.map(([name, row]) => [name, row.default]));
  const rows = tableRows(text).filter((row) => row.length === 4 && /^`[A-Z_]+`$/.test(row[2]!));

  for (const [what, limit, setting] of rows) {
    it(`documents the default of ${setting!.replaceAll('`', '')} (${what}) in docs/protocol/limits.md`, () => {
      const value = defaults.get(setting!.replaceAll('`', ''));
      expect(limit!.replaceAll(',', '')).to.match(new RegExp(`^${value}\\b`));
    });
  }

  it('documents every setting that limits clients in docs/protocol/limits.md', () => {
    const limiting = Object.keys(environment.shape).filter((name) => /^MAX_|_RATE$|_BURST$/.test(name));
    expect(codesIn(rows.map(([, , setting]) => setting).join(' '))).to.include.members(limiting);
  });

  it('documents the window of the message limit in docs/protocol/limits.md', () => {
    const { sendBurst, sendRate } = readConfig({}).limits;
    expect(section(text, '## Messages of one user')).to.include(`: ${sendBurst / sendRate} s by default`);
  });
});

describe('the names in docs/protocol', () => {
  it('uses only names of existing settings, codes and frames in docs/protocol', () => {
    const known = new Set<string>([
      ...Object.keys(environment.shape),
      ...ErrorCode.options,
      ...RemovalCode.options,
      ...Object.keys(chatFrames),
    ]);
    const unknown = [...pages].flatMap(([name, text]) =>
      codesIn(text.replaceAll(/^```[\s\S]*?^```$/gm, ''))
        .filter((code) => /^[A-Z][A-Z_]{3,}\??$/.test(code) && !known.has(code))
        .map((code) => `${name}: ${code}`),
    );
    expect(unknown.filter((name) => !/: (POST|PATCH|DELETE)$/.test(name))).to.deep.equal([]);
  });
});

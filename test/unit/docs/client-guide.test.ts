import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect } from 'chai';
import type {
  ClientErrorCode,
  ClientEvents,
  ConnectionState,
  RoomEvents,
  RoomState,
} from '../../../src/client/client.ts';
import { defaultTimeouts } from '../../../src/client/room-connection.ts';
import { type ErrorCode, errors } from '../../../src/core/errors.ts';
import { fences } from '../../helpers/markdown.ts';

const root = resolve(import.meta.dirname, '../../..');
const text = readFileSync(join(root, 'docs/guides/client.md'), 'utf8');
const others = ['README.md', 'docs/guides/react.md', 'docs/guides/chat-in-ten-minutes.md'].map((path) =>
  readFileSync(join(root, path), 'utf8'),
);

/** The code in the first cells of all table rows. */
const named = [...text.matchAll(/^\| ([^|]+) \|/gm)].flatMap(([, cell]) =>
  [...cell!.matchAll(/`([^`]+)`/g)].map((name) => name[1]!),
);

/** The environment of a page: types of the DOM, none of Node.js but `process`, and only the exports of the package. */
function compile(blocks: (readonly [language: string, block: string])[]): string {
  const home = mkdtempSync(join(tmpdir(), 'nano-document-'));
  try {
    for (const [n, [language, block]] of blocks.entries())
      writeFileSync(join(home, `block-${n + 1}.${language}`), block);
    symlinkSync(join(root, 'node_modules'), join(home, 'node_modules'));
    writeFileSync(join(home, 'node.d.ts'), 'declare const process: { env: Record<string, string | undefined> };');
    const compilerOptions = {
      ...{ target: 'es2022', lib: ['es2024', 'dom', 'dom.iterable'], types: [], noEmit: true, skipLibCheck: true },
      ...{ module: 'esnext', moduleResolution: 'bundler', moduleDetection: 'force', allowImportingTsExtensions: true },
      ...{ strict: true, jsx: 'react-jsx' },
      paths: {
        'nano-messaging-client': [join(root, 'src/client/client.ts')],
        'nano-messaging-client/inbox': [join(root, 'src/client/inbox.ts')],
        'nano-messaging-client/react': [join(root, 'src/client/react.ts')],
        'nano-messaging-client/rest': [join(root, 'src/client/rest.ts')],
        'nano-messaging-client/storage': [join(root, 'src/client/storage.ts')],
      },
    };
    writeFileSync(join(home, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts', '*.tsx'] }));
    return spawnSync(join(root, 'node_modules/.bin/tsc'), ['-p', home], { encoding: 'utf8' }).stdout;
  } finally {
    rmSync(home, { recursive: true });
  }
}

describe('docs/guides/client.md', () => {
  it('contains, like the guide for React and README.md, examples that compile for a web page', function () {
    this.timeout(60_000);
    const blocks = fences([text, ...others].join('\n')).filter(({ language }) => /^tsx?$/.test(language));
    expect(blocks).to.have.length.above(7);
    const wrong = "import { connect } from 'nano-messaging-client'; connect({ url: 7 });";
    const errors = compile([...blocks.map(({ language, text }) => [language, text] as const), ['ts', wrong]]);
    expect(errors.match(/^\S.*error TS/gm), errors).to.have.length(1);
    expect(errors).to.match(new RegExp(`block-${blocks.length + 1}.ts.*TS2322`));
  });

  it('describes every state of the client and of a room in a table row', () => {
    const client: Record<ConnectionState, true> = {
      connecting: true,
      connected: true,
      unauthorized: true,
      closed: true,
    };
    const room: Record<RoomState, true> = {
      idle: true,
      joining: true,
      joined: true,
      reconnecting: true,
      rejected: true,
      removed: true,
      left: true,
    };
    expect(named).to.include.members([...Object.keys(client), ...Object.keys(room)]);
  });

  it('describes every error that a client can receive in a table row', () => {
    const own: Record<Exclude<ClientErrorCode, ErrorCode>, true> = {
      TIMEOUT: true,
      UNREACHABLE: true,
      WRONG_SERVER: true,
      NO_TOKEN: true,
      WRONG_USER: true,
      CLOSED: true,
      LIMIT: true,
      EXPIRED: true,
    };
    /** Codes of REST only. */
    const administrative = [
      'TOO_MANY_RULES',
      'LAST_ADMIN',
      'ROOM_FULL',
      'PAIR_EXISTS',
      'TOO_MANY_CHANGES',
      'KEY_CONFLICT',
      'OUT_OF_ORDER',
    ];
    const received = Object.keys(errors).filter((code) => !administrative.includes(code));
    expect(named).to.include.members([...Object.keys(own), ...received]);
  });

  it('names every event of the client, and every timeout with its default', () => {
    const client: Record<keyof ClientEvents, true> = { state: true, error: true, storage: true, frame: true };
    const room: Record<keyof RoomEvents, true> = {
      ...{ change: true, state: true, message: true, member: true, room: true, reset: true },
      ...{ dropped: true, outgoing: true, changed: true, typing: true, presence: true, reads: true },
    };
    for (const event of [...Object.keys(client), ...Object.keys(room)]) expect(text).to.include(`\`${event}\``);
    for (const [name, ms] of Object.entries(defaultTimeouts)) {
      expect(text).to.match(new RegExp(`\`${name}\` \\(${ms.toLocaleString('en')}\\)`));
    }
  });
});

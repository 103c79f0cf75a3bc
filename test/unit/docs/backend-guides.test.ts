import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect } from 'chai';
import { fences, readDocument, section } from '../../helpers/markdown.ts';

const root = resolve(import.meta.dirname, '../../..');
const guide = readDocument('docs/guides/backend.md');
const pushGuide = readDocument('docs/guides/push-notifications.md');

/** Compiles each block as a module of a backend in Node.js, which has Express and this package. */
function compile(blocks: string[]): string {
  const home = mkdtempSync(join(tmpdir(), 'nano-document-'));
  try {
    for (const [n, block] of blocks.entries()) writeFileSync(join(home, `block-${n + 1}.ts`), block);
    const compilerOptions = {
      ...{ target: 'es2024', module: 'nodenext', strict: true, noEmit: true, skipLibCheck: true },
      ...{ allowImportingTsExtensions: true, types: ['node'], typeRoots: [join(root, 'node_modules/@types')] },
      paths: {
        'nano-messaging/server': [join(root, 'src/sdk/sdk.ts')],
        express: [join(root, 'node_modules/@types/express/index.d.ts')],
      },
    };
    writeFileSync(join(home, 'package.json'), '{"type":"module"}');
    writeFileSync(join(home, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }));
    return spawnSync(join(root, 'node_modules/.bin/tsc'), ['-p', home], { encoding: 'utf8' }).stdout;
  } finally {
    rmSync(home, { recursive: true });
  }
}

/** The block of JavaScript below a heading, without its imports and exports. */
const readCode = (heading: string) =>
  fences(section(pushGuide, heading))
    .find(({ language }) => language === 'js')!
    .text.replaceAll(/^import .*\n/gm, '')
    .replaceAll(/^export /gm, '');

/** Runs a block and returns one of its functions. The block finds the imports in `scope`. */
function load<F>(heading: string, scope: Record<string, unknown>, name: string): F {
  return new Function(...Object.keys(scope), `${readCode(heading)}\nreturn ${name};`)(...Object.values(scope));
}

const notification = { id: '7-3', thread: 'room-7', title: 'Order 17', body: 'Hello' };

describe('docs/guides/backend.md', () => {
  it('contains examples that compile', function () {
    this.timeout(60_000);
    const blocks = fences(guide)
      .filter(({ language }) => language === 'ts')
      .map(({ text }) => text);
    expect(blocks).to.have.length.at.least(4);
    const errors = compile([...blocks, "import { signToken } from 'nano-messaging/server'; signToken(7, '');"]);
    expect(errors.match(/^\S.*error TS/gm), errors).to.have.length(1);
    expect(errors).to.match(new RegExp(`block-${blocks.length + 1}.ts.*error TS`));
  });
});

describe('docs/guides/push-notifications.md', () => {
  it('sends nothing for old messages, and each recipient of every page a notification for new ones', async () => {
    const asked: unknown[] = [];
    const notified: unknown[] = [];
    const pages = [
      { content: [{ user: 'dan', mentioned: true }], meta: { next: 'page 2' } },
      { content: [{ user: 'ben', mentioned: false }], meta: { next: null } },
    ];
    const recipients = async (...given: unknown[]) => {
      asked.push(given);
      return pages[asked.length - 1];
    };
    const delays: number[] = [];
    const scope = {
      createAdminClient: () => ({ messages: { recipients } }),
      process: { env: {} },
      notify: async (user: string, { title, id }: typeof notification) => notified.push({ user, title, id }),
      setTimeout: (run: () => Promise<void>, ms: number) => {
        delays.push(ms);
        running = run();
      },
    };
    let running: Promise<void> | undefined;
    const onMessage = load<(room: object, message: object) => void>('## The receiver', scope, 'onMessage');
    const room = { id: 7, uuid: 'room-7', name: 'Order 17' };
    onMessage(room, { seq: 2, content: 'Hello', createdAt: new Date(Date.now() - 700_000).toISOString() });
    expect(running).to.equal(undefined);
    onMessage(room, { seq: 3, content: 'Hello', createdAt: new Date().toISOString() });
    await running;
    expect(delays).to.deep.equal([3_000]);
    expect(asked).to.deep.equal([
      [7, 3, { after: undefined }],
      [7, 3, { after: 'page 2' }],
    ]);
    expect(notified).to.deep.equal([
      { user: 'dan', title: 'You were mentioned in Order 17', id: '7-3' },
      { user: 'ben', title: 'Order 17', id: '7-3' },
    ]);
  });

  it('calls FCM and APNs in ten lines of code each', () => {
    for (const heading of ['## FCM', '## APNs']) {
      const { text } = fences(section(pushGuide, heading)).find(({ language }) => language === 'js')!;
      expect(text.split('\n').filter((row) => row.trim() !== '')).to.have.length.at.most(10);
    }
  });

  it('sends FCM a notification with a tag, and only texts as data', async () => {
    const sent: object[] = [];
    const scope = {
      applicationDefault: () => 'the key file',
      initializeApp: (options: object) => expect(options).to.deep.equal({ credential: 'the key file' }),
      getMessaging: () => ({ send: async (message: object) => sent.push(message) }),
    };
    await load<(token: string, given: object) => unknown>('## FCM', scope, 'pushFcm')('a token', notification);
    expect(sent).to.deep.equal([
      {
        token: 'a token',
        notification: { title: 'Order 17', body: 'Hello' },
        data: { thread: 'room-7' },
        android: { priority: 'high', notification: { tag: '7-3' } },
      },
    ]);
  });

  it('sends APNs a notification with the fields that its headers and payload need', async () => {
    const sent: unknown[] = [];
    const apn = {
      Provider: class {
        send(given: unknown, token: string) {
          sent.push(given, token);
        }
      },
      Notification: class {
        constructor(fields: object) {
          Object.assign(this, fields);
        }
      },
    };
    await load<(token: string, given: object) => unknown>('## APNs', { apn }, 'pushApns')('a token', notification);
    expect(sent[1]).to.equal('a token');
    expect({ ...(sent[0] as object) }).to.deep.equal({
      ...{ topic: 'com.example.app', pushType: 'alert', sound: 'default' },
      ...{ alert: { title: 'Order 17', body: 'Hello' }, threadId: 'room-7', collapseId: '7-3' },
      payload: { thread: 'room-7' },
    });
  });
});

import { expect } from 'chai';
import { Webhook } from 'standardwebhooks';
import { runCommand } from '../helpers/process.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const secret = 'whsec_bmFuby1tZXNzYWdpbmctdGhlLXNlY3JldC1vZi10ZXN0cw==';

const body = JSON.stringify({
  type: 'changes',
  timestamp: '2026-11-28T12:00:00.000Z',
  data: {
    changes: [
      { room: { id: 7, key: 'order-17' }, name: 'message:new', payload: { seq: 1, content: 'Hello' } },
      { room: { id: 8, key: null }, name: 'room:changed', payload: { rev: 2 } },
    ],
  },
});

const signed = (key: string) => {
  const now = new Date();
  const timestamp = String(Math.floor(now.getTime() / 1_000));
  return {
    'webhook-id': 'evt_1',
    'webhook-timestamp': timestamp,
    'webhook-signature': new Webhook(key).sign('evt_1', now, body),
  };
};

async function startReceiver(...args: string[]) {
  const command = runCommand('bin/webhook.ts', {}, ['--port', '0', ...args]);
  let output = '';
  command.outputListeners.add((text) => {
    output = text;
  });
  const waitForOutput = (text: string | RegExp) => waitUntil(`${text}`, () => output.search(text) >= 0, 15_000);
  await waitForOutput(/listening on \S+\n/);
  const url = /listening on (\S+)/.exec(output)![1]!;
  return { url, waitForOutput, output: () => output };
}

const post = async (url: string, headers: Record<string, string>) => {
  const response = await fetch(`${url}any/path`, { method: 'POST', headers, body });
  return [response.status, await response.text()] as const;
};

describe('nano-messaging webhook', () => {
  it('prints each change of a request, with the room, its key and the payload', async () => {
    const { url, waitForOutput, output } = await startReceiver('--secret', secret);
    expect(await post(url, signed(secret))).to.deep.equal([200, 'OK']);
    await waitForOutput('room:changed');
    expect(output()).to.match(/^\d\d:\d\d:\d\d evt_1$/m);
    expect(output()).to.include('  room 7 order-17 message:new {"seq":1,"content":"Hello"}\n');
    expect(output()).to.include('  room 8 room:changed {"rev":2}\n');
  });

  it('answers 401 to a request with another secret, says why, and continues', async () => {
    const { url, waitForOutput, output } = await startReceiver('--secret', secret);
    const other = `whsec_${Buffer.alloc(32, 1).toString('base64')}`;
    const [status, text] = await post(url, signed(other));
    expect([status, text]).to.satisfy(() => status === 401 && /the secret is not the one in WEBHOOKS/.test(text));
    expect((await post(url, {}))[0]).to.equal(401);
    await waitForOutput('refused: INVALID_HEADER: The header webhook-id is missing');
    expect(output()).to.include('refused: WRONG_SIGNATURE: ').and.not.include('order-17');
    expect((await fetch(url)).status).to.equal(405);
    expect((await post(url, signed(secret)))[0]).to.equal(200);
  });

  it('makes a secret if none is given, and prints the setting of the node that uses it', async () => {
    const { url, waitForOutput, output } = await startReceiver();
    await waitForOutput('WEBHOOKS=');
    const [row] = JSON.parse(/WEBHOOKS='(.*)'/.exec(output())![1]!);
    expect(row).to.deep.include({ name: 'development', url });
    expect(await post(url, signed(row.secret))).to.deep.equal([200, 'OK']);
  });

  for (const [args, message] of [
    [['--secret', 'my secret'], /^--secret must be whsec_/],
    [['--secret', 'whsec_c2hvcnQ='], /^--secret must have 24 to 64 bytes/],
    [['--port', 'many'], /^--port must be a number/],
    [['--prot', '9000'], /--prot/],
  ] as const) {
    it(`ends with an error for ${args.join(' ')}`, async () => {
      const { code, output } = await runCommand('bin/webhook.ts', {}, [...args]).exited;
      expect(code).to.equal(1);
      expect(output).to.match(message);
    });
  }

  it('prints its usage with --help', async () => {
    const { code, output } = await runCommand('bin/webhook.ts', {}, ['--help']).exited;
    expect(code).to.equal(0);
    for (const option of ['--port', '--host', '--secret']) expect(output).to.include(option);
  });
});

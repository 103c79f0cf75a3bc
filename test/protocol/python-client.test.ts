import { execFile, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { aptInstall } from '../support/debian.ts';
import type { Loose } from '../support/loose.ts';
import { describeEveryWiring } from '../support/node.ts';
import { somebody } from '../support/people.ts';
import { rest } from '../support/rest-client.ts';

const script = fileURLToPath(new URL('../support/python_client.py', import.meta.url));
const python = '/usr/bin/python3';
const packages = ['python3-socketio', 'python3-websocket', 'python3-requests'];

const isInstalled = () => spawnSync(python, ['-c', 'import socketio, websocket, requests']).status === 0;

describeEveryWiring('a client that none of us wrote: python3-socketio of Debian', (node) => {
  before(function () {
    this.timeout(300_000);
    if (isInstalled()) return;
    const mayInstall = aptInstall('The tests use a client in Python', ...packages);
    if (!mayInstall) this.skip(); // not on Debian, or not root
    if (!isInstalled())
      throw new Error(`The tests need Debian's ${packages.join(', ')}, or to run as root to install them`);
  });

  for (const transport of ['websocket', 'polling']) {
    it(`connects with auth, joins, sends with an acknowledgement and hears, over ${transport}`, async () => {
      const person = somebody({ level: 100 });
      const { body } = await rest(node.url(), person.token).post('/rooms', { name: 'python' });
      const { id } = body.content.room;
      const run = promisify(execFile)(python, [script, node.url(), person.token, String(id), transport]);
      const lines = (await run).stdout.trim().split('\n');
      const steps = new Map(lines.map((line) => JSON.parse(line)).map(({ step, what }: Loose) => [step, what]));
      expect(steps.get('joined')).to.include({ ok: true, rights: 'rwa', recovered: false });
      expect(steps.get('sent')).to.nested.include({ ok: true, duplicate: false, 'message.seq': 1 });
      expect(steps.get('heard')).to.include({ seq: 1, content: 'hola desde Python 🐍', emitter: person.user });
      expect(steps.get('refused')).to.nested.include({
        ok: false,
        'error.code': 'BAD_REQUEST',
        'error.field': 'content',
      });
      expect(steps.get('left')).to.deep.equal({ ok: true });
    });
  }
});

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import type { Json } from '../helpers/json.ts';
import { describeOneWiring } from '../helpers/node.ts';
import { python, withPythonClient } from '../helpers/python.ts';
import { rest } from '../helpers/rest-client.ts';
import { createUser } from '../helpers/users.ts';

const script = fileURLToPath(new URL('../helpers/python_client.py', import.meta.url));
describeOneWiring('a third-party Socket.IO client, python3-socketio of Debian', (node) => {
  withPythonClient();

  for (const transport of ['websocket', 'polling']) {
    it(`connects with auth, joins, sends with an acknowledgement and receives over ${transport}`, async () => {
      const user = createUser({ level: 100 });
      const { body } = await rest(node.url(), user.token).post('/rooms', { name: 'python' });
      const { id } = body.content.room;
      const { stdout } = await promisify(execFile)(python, [script, node.url(), user.token, String(id), transport]);
      const lines = stdout.trim().split('\n');
      const steps = new Map(lines.map((line) => JSON.parse(line)).map(({ step, value }: Json) => [step, value]));
      expect(steps.get('joined')).to.include({ ok: true, rights: 'rwa', recovered: false });
      expect(steps.get('sent')).to.nested.include({ ok: true, duplicate: false, 'message.seq': 1 });
      expect(steps.get('received')).to.include({ seq: 1, content: 'hola desde Python 🐍', emitter: user.user });
      expect(steps.get('rejected')).to.nested.include({
        ok: false,
        'error.code': 'BAD_REQUEST',
        'error.field': 'content',
      });
      expect(steps.get('left')).to.deep.equal({ ok: true });
    });
  }
});

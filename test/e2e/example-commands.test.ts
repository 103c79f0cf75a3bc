import { existsSync } from 'node:fs';
import { expect } from 'chai';
import { aptInstall } from '../helpers/debian.ts';
import { describeOneWiring } from '../helpers/node.ts';
import { runProgram } from '../helpers/program.ts';
import { rest } from '../helpers/rest-client.ts';
import { createUser, testSecret } from '../helpers/users.ts';

const python = '/usr/bin/python3';

function installPrograms(context: Mocha.Context, ...names: string[]): void {
  context.timeout(300_000);
  const missing = names.filter((name) => !existsSync(`/usr/bin/${name}`));
  if (missing.length > 0 && !aptInstall('The tests run an example', ...missing)) context.skip();
}

async function run(command: string, args: string[], env: Record<string, string>) {
  const program = runProgram(command, args, env);
  return { code: await program.exited, output: program.output(), errors: program.errors() };
}

describeOneWiring('examples/curl.sh', (node) => {
  before(function () {
    installPrograms(this, 'curl', 'jq');
  });

  it('creates a room, invites a user, sends messages, retries one without a duplicate, and reads the history page by page', async () => {
    const url = node.url();
    const ana = createUser({ level: 100 });
    const { code, output, errors } = await run('bash', ['examples/curl.sh', url], { CHAT_TOKEN: ana.token });
    expect([code, errors]).to.deep.equal([0, '']);
    const id = Number(/^Room (\d+)$/m.exec(output)?.[1]);
    expect(output.split('\n')).to.deep.equal([
      `Room ${id}`,
      'bbbbbbbb-0000-4000-8000-000000000002 may rw',
      '201: seq 1',
      '201: seq 2',
      '200: seq 2, a duplicate',
      '201: seq 3',
      'The history, two messages per page, newest page first:',
      ...['2 Go!', '3 Lift-off', '1 Fueled up and ready to go', ''],
    ]);
    const { body } = await rest(url, ana.token).get(`/rooms/${id}/messages`);
    expect(body.content).to.have.length(3);
  });

  it('prints the error response and exits with 1', async () => {
    const { code, output, errors } = await run('bash', ['examples/curl.sh', node.url()], {
      CHAT_TOKEN: createUser().token,
    });
    expect([code, output]).to.deep.equal([1, '']);
    expect(errors).to.include('"reason":"FORBIDDEN"');
  });
});

describeOneWiring('examples/backend', (node) => {
  for (const [command, file] of [
    [process.execPath, 'examples/backend/token.js'],
    [python, 'examples/backend/sign_token.py'],
  ] as const) {
    describe(file, () => {
      before(function () {
        if (command === python) installPrograms(this, 'python3');
      });

      const signToken = async (secret: string, ...args: (string | number)[]) =>
        (await run(command, [file, ...args.map(String)], { JWT_SECRET: secret })).output.trim();

      it('signs a token that a node with the same secret accepts', async () => {
        const { user, entity } = createUser();
        const token = await signToken(testSecret, user, entity, 100);
        const { status, body } = await rest(node.url(), token).post('/rooms', { name: 'signed' });
        expect(status).to.equal(200);
        expect(body.content.room).to.include({ user_owner: user, entity_owner: entity });
      });

      it('adds no organisation and level 0 if only the user is given', async () => {
        const { user } = createUser();
        const token = await signToken(testSecret, user);
        const claims = JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString());
        expect(claims).to.have.all.keys('userUUID', 'levelOnEntity', 'iat', 'exp', 'jti');
        expect(claims).to.include({ userUUID: user, levelOnEntity: 0, exp: claims.iat + 600 });
        const { status } = await rest(node.url(), token).get('/rooms');
        expect(status).to.equal(200);
      });

      it('derives UUIDv5 from ids that are not UUIDs', async () => {
        const CHAT_NAMESPACE = '6ba7b810-9dad-11d1-80b4-00c04fd430c8';
        const args = [file, '42', '507f1f77bcf86cd799439011', '100'];
        const { output } = await run(command, args, { JWT_SECRET: testSecret, CHAT_NAMESPACE });
        const claims = JSON.parse(Buffer.from(output.split('.')[1]!, 'base64url').toString());
        expect(claims).to.include({
          userUUID: '3aba9c29-be14-59f6-9a99-8b0950ed2c3b',
          entityUUID: '052570c0-3516-5915-9edf-cd7b0fb56205',
          levelOnEntity: 100,
        });
        const made = await rest(node.url(), output.trim()).post('/rooms', { name: 'derived ids' });
        expect(made.body.content.room.user_owner).to.equal(claims.userUUID);
      });

      it('signs a token that a node with another secret rejects', async () => {
        const token = await signToken('the secret of another service altogether', createUser().user);
        expect((await rest(node.url(), token).get('/rooms')).status).to.equal(401);
      });
    });
  }
});

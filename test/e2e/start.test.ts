import { once } from 'node:events';
import { createServer } from 'node:net';
import { expect } from 'chai';
import { migratedDirectory } from '../helpers/embedded-template.ts';
import { runCommand } from '../helpers/process.ts';

describe('A start', function () {
  this.timeout(60_000);

  for (const file of ['bin/start.ts', 'bin/migrate.ts']) {
    it(`explains itself with --help and refuses other options: ${file}`, async () => {
      const help = await runCommand(file, {}, ['--help']).exited;
      expect(help.code, help.output).to.equal(0);
      expect(help.output).to.match(/^nano-messaging (start|migrate), or npm/);
      const refused = await runCommand(file, {}, ['--prot', '80']).exited;
      expect(refused.code).to.equal(2);
      expect(refused.output).to.include("'--prot'").and.include('--help');
    });
  }

  it('names the port that is taken, and PORT', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as { port: number };
    const { code, output } = await runCommand('bin/start.ts', { PORT: port, DATA_DIR: await migratedDirectory() })
      .exited;
    taken.close();
    expect(code).to.equal(1);
    expect(output).to.include(`Port ${port} is in use`).and.include('Set PORT');
  });

  it('names HOST where the address is not one of this machine', async () => {
    const env = { HOST: '192.0.2.1', PORT: 0, DATA_DIR: await migratedDirectory() };
    const { code, output } = await runCommand('bin/start.ts', env).exited;
    expect(code).to.equal(1);
    expect(output).to.include('192.0.2.1').and.include('Set HOST');
  });

  it('says at once that it starts, and ends on a signal before it has started', async () => {
    const { exited, outputListeners, kill } = runCommand('bin/start.ts', {
      PORT: 0,
      DATA_DIR: await migratedDirectory(),
    });
    outputListeners.add((output) => {
      if (output.includes('"starting')) kill('SIGTERM');
    });
    const { code, output } = await exited;
    expect(code, output).to.equal(143);
    expect(output).to.include('stopped before it had started').and.not.include('listening');
  });

  for (const file of ['bin/start.ts', 'bin/migrate.ts']) {
    it(`warns of a misspelt setting, and never shows its value: ${file}`, async () => {
      const env = { DATABSE_URL: 'postgres://chat:hush@db/chat', DATA_DIR: '/dev/null/data', PORT: 0 }; // cspell:disable-line
      const { output } = await runCommand(file, env).exited;
      expect(output).to.include('DATABSE_URL is not a setting; did you mean DATABASE_URL?'); // cspell:disable-line
      expect(output).to.not.include('hush');
    });
  }

  it('names a data directory that cannot be written', async () => {
    const { code, output } = await runCommand('bin/start.ts', { PORT: 0, DATA_DIR: '/dev/null/data' }).exited;
    expect(code).to.equal(1);
    expect(output).to.include('The data directory /dev/null/data cannot be written').and.include('DATA_DIR');
  });
});

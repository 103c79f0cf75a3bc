import { spawn } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { closeLater } from './cleanup.ts';
import { aptExtract, aptInstall } from './debian.ts';
import { freePort } from './free-port.ts';
import { serverAccount } from './postgres-binaries.ts';
import { waitUntil } from './wait-until.ts';

/** Returns undefined if PgBouncer is neither installed nor installable. */
export function findPgBouncer(): string | undefined {
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  const find = () => directories.map((directory) => join(directory, 'pgbouncer')).find(existsSync);
  const why = 'The tests need PgBouncer and there is none';
  return (
    find() ?? aptExtract(why, 'pgbouncer', 'usr/sbin/pgbouncer') ?? (aptInstall(why, 'pgbouncer') ? find() : undefined)
  );
}

/**
 * Starts PgBouncer with its default configuration in front of the server of this URL. Returns the URL of the same
 * database through PgBouncer.
 */
export async function startPgBouncer(
  program: string,
  url: string,
  mode: 'session' | 'transaction',
  settings: Record<string, string | number> = {},
): Promise<string> {
  const { hostname, port, username } = new URL(url);
  const home = mkdtempSync(join(tmpdir(), 'nano-pgbouncer-'));
  const account = serverAccount();
  if (account) chownSync(home, account.uid, account.gid);
  const listen = await freePort();
  const given = {
    ...{ listen_addr: '127.0.0.1', listen_port: listen, unix_socket_dir: '', auth_type: 'any', pool_mode: mode },
    ...settings,
  };
  const lines = Object.entries(given).map(([name, value]) => `${name} = ${value}`);
  const file = join(home, 'pgbouncer.ini');
  writeFileSync(
    file,
    `[databases]\n* = host=${hostname} port=${port} user=${username}\n[pgbouncer]\n${lines.join('\n')}\n`,
  );
  const child = spawn(program, [file], { cwd: home, ...account, stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  child.stderr.on('data', (text: Buffer) => {
    log += text;
  });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  closeLater(async () => {
    child.kill('SIGKILL');
    await exited;
    rmSync(home, { recursive: true, force: true });
  });
  await waitUntil('PgBouncer listens', () => {
    if (child.exitCode !== null) throw new Error(`PgBouncer ended:\n${log}`);
    return log.includes('process up');
  });
  return Object.assign(new URL(url), { host: `127.0.0.1:${listen}` }).href;
}

import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { aptInstall, isRoot } from './debian.ts';

/** The directory of `initdb` and `postgres`. Installs PostgreSQL if it is missing and the user may do so. */
export function findPostgres(): string {
  const found = installed();
  if (found) return found;
  if (aptInstall('The tests need PostgreSQL and there is none', 'postgresql')) {
    const fresh = installed();
    if (fresh) return fresh;
  }
  throw new Error(
    'The tests need a real PostgreSQL. Give one of these ways: TEST_DATABASE_URL, the URL of a server where databases ' +
      'may be created; initdb and postgres on the PATH, in /usr/lib/postgresql/*/bin or from Homebrew; ' +
      'or run the tests as root on Debian, where they install it with apt-get.',
  );
}

function installed(): string | undefined {
  const onPath = (process.env.PATH ?? '').split(delimiter).map((directory) => join(directory, 'initdb'));
  const linked = onPath.filter((path) => existsSync(path)).map((path) => dirname(realpathSync(path)));
  const known = [
    ...below('/usr/lib/postgresql', (name) => join(name, 'bin')),
    ...['/opt/homebrew/opt', '/usr/local/opt', '/home/linuxbrew/.linuxbrew/opt'].flatMap((opt) =>
      below(opt, (name) => (name.startsWith('postgresql') ? join(name, 'bin') : undefined)),
    ),
  ];
  return [...linked, ...known].find((bin) => ['initdb', 'postgres'].every((name) => existsSync(join(bin, name))));
}

/** Lists the binary directories of the installed versions, newest first. */
function below(directory: string, toBin: (name: string) => string | undefined): string[] {
  if (!existsSync(directory)) return [];
  const byVersion = new Intl.Collator('en', { numeric: true }).compare;
  const bins = readdirSync(directory).sort(byVersion).reverse().map(toBin);
  return bins.filter((bin) => bin !== undefined).map((bin) => join(directory, bin));
}

/** PostgreSQL refuses to run as root. In that case, returns another account to run it. */
export function serverAccount(): { uid: number; gid: number } | undefined {
  if (!isRoot) return undefined;
  const accounts = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  const account = ['postgres', 'nobody'].map((name) => accounts.find((fields) => fields[0] === name)).find(Boolean);
  if (!account)
    throw new Error(
      'PostgreSQL does not run as root, and this system has no account postgres or nobody: run the tests as another user',
    );
  return { uid: Number(account[2]), gid: Number(account[3]) };
}

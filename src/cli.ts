#!/usr/bin/env node
import { readFileSync } from 'node:fs';

/** Each takes what follows its name, and ends by itself. */
const commands: Record<string, { what: string; run: () => Promise<unknown> }> = {
  start: { what: 'starts a node; without any settings on http://127.0.0.1:7777', run: () => import('./main.ts') },
  migrate: { what: 'applies the migrations that are missing', run: () => import('./migrate-command.ts') },
  token: { what: 'prints a token that this configuration accepts', run: () => import('./token-command.ts') },
  import: { what: 'copies rooms, rules and messages of the original', run: () => import('./import-command.ts') },
  move: { what: 'moves the embedded database to PostgreSQL', run: () => import('./move-command.ts') },
  torture: {
    what: 'kills nodes and databases under load, and counts what was lost',
    run: () => import('../test/torture/run.ts'),
  },
};

const usage = () => `nano-messaging <command> [options]

${Object.entries(commands)
  .map(([name, { what }]) => `  ${name.padEnd(9)} ${what}`)
  .join('\n')}

Settings are environment variables; token, import, move and torture have options, which --help lists.`;

/** The nearest one above: this file lies in src/ of a checkout, and in dist/src/ of the package. */
function version(): string {
  for (const path of ['../package.json', '../../package.json']) {
    try {
      return JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')).version;
    } catch {}
  }
  return 'unknown';
}

const oldest = [22, 18] as const;

function isTooOld(): boolean {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  return major < oldest[0] || (major === oldest[0] && minor < oldest[1]);
}

const [name = '--help'] = process.argv.splice(2, 1);
const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
if (isTooOld()) {
  console.error(`nano-messaging needs Node.js ${oldest.join('.')} or later; this is ${process.versions.node}.`);
  process.exitCode = 1;
} else if (command) {
  await command.run();
} else if (name === '--version' || name === '-v') {
  console.log(version());
} else if (name === '--help' || name === '-h') {
  console.log(usage());
} else {
  console.error(`There is no command ${name}.\n\n${usage()}`);
  process.exitCode = 2;
}

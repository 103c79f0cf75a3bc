#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { describeOldNode } from '../config/node-version.ts';

/** The commands by name. A command runs when its module is imported. The module parses the remaining arguments. */
const commands: Record<string, { summary: string; run: () => Promise<unknown> }> = {
  start: { summary: 'starts a node; without any settings on http://127.0.0.1:7777', run: () => import('./start.ts') },
  migrate: { summary: 'applies the migrations that are missing', run: () => import('./migrate.ts') },
  token: { summary: 'prints a token that this configuration accepts', run: () => import('./token.ts') },
  import: {
    summary: 'copies rooms, rules and messages of the legacy service',
    run: () => import('./legacy-import.ts'),
  },
  move: { summary: 'moves the embedded database to PostgreSQL', run: () => import('./move.ts') },
  webhook: { summary: 'receives, verifies and prints webhooks', run: () => import('./webhook.ts') },
  torture: {
    summary: 'kills nodes and databases under load, and counts lost messages',
    // The path is computed at run time, so that the sources in src/ do not import from tools/.
    run: () => import(new URL(`../../tools/torture/run${extname(import.meta.filename)}`, import.meta.url).href),
  },
};

const formatUsage = () => `nano-messaging <command> [options]

${Object.entries(commands)
  .map(([name, { summary }]) => `  ${name.padEnd(9)} ${summary}`)
  .join('\n')}

Settings are environment variables. Each command explains its options with --help.`;

/**
 * Reads the version from package.json, which is two levels above this file in a checkout (src/bin/) and three levels
 * above it in the published package (dist/src/bin/).
 */
function readVersion(): string {
  for (const path of ['../../package.json', '../../../package.json']) {
    try {
      return JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')).version;
    } catch {}
  }
  return 'unknown';
}

const [name = '--help'] = process.argv.splice(2, 1);
const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
// The commands are imported later, because an old Node.js fails with a SyntaxError when it loads them.
const oldNode = describeOldNode();
if (oldNode) {
  console.error(`${oldNode}. Install a newer Node.js.`);
  process.exitCode = 1;
} else if (command) {
  await command.run();
} else if (name === '--version' || name === '-v') {
  console.log(readVersion());
} else if (name === '--help' || name === '-h') {
  console.log(formatUsage());
} else {
  console.error(`Unknown command: ${name}\n\n${formatUsage()}`);
  process.exitCode = 2;
}

import { parseArgs } from 'node:util';

/**
 * Handles the arguments of a command whose only option is `--help`. Prints the usage for `--help`, and an error for any
 * other argument. Returns true if the command should run.
 */
export function mayRun(usage: string): boolean {
  try {
    const { values } = parseArgs({ options: { help: { type: 'boolean', short: 'h', default: false } } });
    if (values.help) console.log(usage);
    return !values.help;
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${usage}`);
    process.exitCode = 2;
    return false;
  }
}

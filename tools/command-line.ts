import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';

/** An argument that the user can correct. */
export class InvalidArgument extends Error {}

const help = { type: 'boolean', short: 'h' } as const;

/**
 * Parses the arguments of a tool. `--help` prints the usage and ends the process with exit code 0. An unknown option, an
 * invalid value or a surplus argument ends it with exit code 2, before the tool has started anything.
 */
export function readCommandLine<const Options extends ParseArgsOptionsConfig, Result>(
  usage: string,
  options: Options,
  convert: (values: ReturnType<typeof parseValues<Options>>['values'], positionals: string[]) => Result,
  { allowPositionals = false } = {},
): Result {
  try {
    const { values, positionals } = parseValues(options, allowPositionals);
    if ((values as { help?: boolean }).help !== true) return convert(values, positionals);
    console.log(usage);
    process.exit(0);
  } catch (error) {
    if (!(error instanceof InvalidArgument)) throw error;
    console.error(`${error.message}\n\n${usage}`);
    process.exit(2);
  }
}

function parseValues<const Options extends ParseArgsOptionsConfig>(options: Options, allowPositionals: boolean) {
  try {
    return parseArgs({ options: { ...options, help } as Options & { help: typeof help }, allowPositionals });
  } catch (error) {
    throw new InvalidArgument((error as Error).message);
  }
}

export function parseWholeNumber(option: string, text: string, min: number): number {
  const number = Number(text);
  if (text.trim() !== '' && Number.isSafeInteger(number) && number >= min) return number;
  throw new InvalidArgument(`--${option} must be a whole number of at least ${min}, not '${text}'`);
}

export function parseName<const Name extends string>(option: string, text: string, known: readonly Name[]): Name {
  const [name, ...more] = parseNames(option, text, known);
  if (name !== undefined && more.length === 0) return name;
  throw new InvalidArgument(`--${option} must be one of ${known.join(', ')}, not '${text}'`);
}

/** Parses a list of known names, separated by commas. */
export function parseNames<Name extends string>(option: string, text: string, known: readonly Name[]): Name[] {
  const names = text.split(',').filter(Boolean);
  const unknown = names.filter((name) => !(known as readonly string[]).includes(name));
  if (unknown.length === 0) return names as Name[];
  throw new InvalidArgument(`--${option} does not know ${unknown.join(', ')}. Choose from ${known.join(', ')}`);
}

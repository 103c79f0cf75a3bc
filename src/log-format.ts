type Entry = Record<string, unknown>;

type Painter = (text: string, colour: keyof typeof colours) => string;

const colours = { grey: 90, red: 31, yellow: 33, green: 32, blue: 34 };

const colourOf: Record<string, keyof typeof colours> = {
  fatal: 'red',
  error: 'red',
  warn: 'yellow',
  info: 'green',
  debug: 'blue',
  trace: 'grey',
};

/** A line of JSON as a person at a terminal reads it: time, level, event, then the fields. */
export function formatForPeople(line: string, hasColours: boolean): string {
  const paint: Painter = (text, colour) => (hasColours ? `\u001b[${colours[colour]}m${text}\u001b[39m` : text);
  let entry: Entry;
  try {
    entry = JSON.parse(line) as Entry;
  } catch {
    return line;
  }
  const { level, time, msg, err, pid: _pid, hostname: _host, ...fields } = entry;
  const name = String(level);
  const at = new Date(Number(time)).toTimeString().slice(0, 8);
  const shown = Object.entries(fields).map(([key, value]) => {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    return `${key}=${text}`;
  });
  const head = `${paint(at, 'grey')} ${paint(name.toUpperCase().padEnd(5), colourOf[name] ?? 'grey')} ${msg ?? ''}`;
  const error = err as { stack?: string; message?: string } | undefined;
  const below = error ? `\n${paint(error.stack ?? error.message ?? '', 'grey')}` : '';
  return `${[head, ...shown.map((text) => paint(text, 'grey'))].join(' ')}${below}\n`;
}

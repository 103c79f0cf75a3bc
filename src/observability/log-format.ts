import { prettyFactory } from 'pino-pretty';

/** Formats a JSON log line for a terminal: time, level, event, then the fields. */
export function createPrettyFormat(hasColours: boolean): (line: string) => string {
  return prettyFactory({
    colorize: hasColours,
    singleLine: true,
    translateTime: 'SYS:HH:MM:ss',
    ignore: 'pid,hostname',
  });
}

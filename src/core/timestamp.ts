import { z } from 'zod';

const bareDate = /^\d{4}-\d{2}-\d{2}$/;
const isoDate = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?$/;

const dayMs = 86_400_000;
const twoDigits = Array.from({ length: 60 }, (_, n) => String(n).padStart(2, '0'));
const threeDigits = Array.from({ length: 1_000 }, (_, n) => String(n).padStart(3, '0'));
let lastDay = { start: 0, prefix: '1970-01-01T' };

/**
 * Formats ms since 1970 in the same way as `Date.prototype.toISOString`, several times as fast: a page of history has a
 * timestamp per message, most of them of the same day.
 */
export function toIsoText(at: number): string {
  const start = Math.floor(Math.trunc(at) / dayMs) * dayMs;
  if (start !== lastDay.start) lastDay = { start, prefix: new Date(start).toISOString().slice(0, -13) };
  const ms = Math.trunc(at) - start;
  const seconds = Math.floor(ms / 1_000);
  const minutes = Math.floor(seconds / 60);
  return `${lastDay.prefix}${twoDigits[Math.floor(minutes / 60)]}:${twoDigits[minutes % 60]}:${twoDigits[seconds % 60]}.${threeDigits[ms % 1_000]}Z`;
}

let lastTimestamp = { at: 0, text: new Date(0).toISOString() };

/**
 * Formats a timestamp like `toIsoText`, and caches the last text: all messages of a commit have the same timestamp, and
 * each message contains it twice.
 */
export function formatTimestamp(at: number): string {
  if (at !== lastTimestamp.at) lastTimestamp = { at, text: toIsoText(at) };
  return lastTimestamp.text;
}

/**
 * Parses an inclusive bound of a time span to ms since 1970. A date without a time means the first millisecond of the
 * day for `from`, and the last for `to`, in UTC.
 */
export const dateBound = (end: 'from' | 'to') =>
  z
    .string({ error: 'must be an ISO 8601 date' })
    .refine((text) => bareDate.test(text) || isoDate.test(text), 'must be an ISO 8601 date')
    .transform((text, context) => {
      const isBareDate = bareDate.test(text);
      const hasZone = isBareDate || /(Z|[+-]\d{2}:?\d{2})$/.test(text);
      const at = Date.parse(isBareDate ? `${text}T00:00:00Z` : hasZone ? text : `${text}Z`);
      // `Date.parse` does not reject the 30th of February: it returns a day in March, so the date no longer matches.
      const date = text.slice(0, 10);
      const midnight = new Date(`${date}T00:00:00Z`);
      const isValid =
        Number.isFinite(at) && !Number.isNaN(midnight.getTime()) && midnight.toISOString().startsWith(date);
      if (!isValid) context.addIssue({ code: 'custom', message: 'must be an ISO 8601 date' });
      return isValid && isBareDate && end === 'to' ? at + 86_399_999 : at;
    })
    .meta({
      description: `ISO 8601, inclusive; UTC if no zone is given. A bare date means ${end === 'from' ? 'its first' : 'its last'} moment, UTC.`,
      examples: ['2026-11-23', '2026-11-23T23:23:20.710Z'],
    });

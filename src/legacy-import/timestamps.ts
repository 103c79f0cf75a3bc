/** A date of the original as one of ours: from 1970 on, not in the future; undefined where there is none. */
export function toTimestamp(ms: number | null, now: number): number | undefined {
  if (ms === null || ms === Number.NEGATIVE_INFINITY) return undefined;
  return Math.min(Math.max(Math.round(ms), 0), now);
}

/** When it was made and when it last changed. */
export function toTimestamps(
  { created, updated }: { created: number | null; updated: number | null },
  fallback: number,
  now: number,
): { created: number; updated: number } {
  const made = toTimestamp(created, now) ?? toTimestamp(updated, now) ?? fallback;
  return { created: made, updated: Math.max(toTimestamp(updated, now) ?? made, made) };
}

const intervalMs = 2_000;
const formatNumber = (n: number) => Math.round(n).toLocaleString('en');

/** Prints the progress of long work: at the beginning, then at most every two seconds, and at the end. */
export function createProgress(
  total: number,
  print: (line: string) => void,
  { what = 'messages', now = () => performance.now() } = {},
) {
  const startedAt = now();
  const secondsSince = (time: number) => Math.max((now() - time) / 1_000, 0.001);
  let done = 0;
  let printedAt = startedAt;
  /**
   * The time at which the first items were done, and their number. The rate is measured from here, because the database
   * must sort all items before it returns the first of them.
   */
  let first: { at: number; count: number } | undefined;
  print(total > 0 ? `0 of ${formatNumber(total)} ${what}` : `no ${what} to copy`);
  return {
    add(messages: number): void {
      done += messages;
      first ??= { at: now(), count: done };
      if (now() - printedAt < intervalMs) return;
      printedAt = now();
      const rate = (done - first.count) / secondsSince(first.at);
      const left =
        rate > 0 ? `, ${formatNumber(rate)} per second, about ${formatNumber((total - done) / rate)} s left` : '';
      print(`${formatNumber(done)} of ${formatNumber(total)} ${what} (${Math.floor((done / total) * 100)} %)${left}`);
    },
    end(): void {
      if (total === 0) return;
      const seconds = secondsSince(startedAt);
      print(`${formatNumber(done)} ${what} in ${seconds.toFixed(1)} s, ${formatNumber(done / seconds)} per second`);
    },
  };
}

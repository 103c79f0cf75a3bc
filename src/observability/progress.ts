const intervalMs = 2_000;
const formatNumber = (n: number) => Math.round(n).toLocaleString('en');

/** Prints the progress at the beginning, at most every two seconds during the work, and at the end. */
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
   * When the first items were done, and how many. The rate does not include them: they arrive only after the database
   * has sorted all items.
   */
  let first: { at: number; count: number } | undefined;
  print(total > 0 ? `0 of ${formatNumber(total)} ${what}` : `no ${what} to take over`);
  return {
    add(messages: number): void {
      done += messages;
      first ??= { at: now(), count: done };
      if (now() - printedAt < intervalMs) return;
      printedAt = now();
      const rate = (done - first.count) / secondsSince(first.at);
      const left =
        rate > 0 ? `, ${formatNumber(rate)} a second, some ${formatNumber((total - done) / rate)} s to go` : '';
      print(`${formatNumber(done)} of ${formatNumber(total)} ${what} (${Math.floor((done / total) * 100)} %)${left}`);
    },
    end(): void {
      if (total === 0) return;
      const seconds = secondsSince(startedAt);
      print(`${formatNumber(done)} ${what} in ${seconds.toFixed(1)} s, ${formatNumber(done / seconds)} a second`);
    },
  };
}

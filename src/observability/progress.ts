const everyMs = 2_000;
const figure = (n: number) => Math.round(n).toLocaleString('en');

/** Tells how far it is: at the beginning, every two seconds, and at the end. */
export function progressOf(
  total: number,
  tell: (line: string) => void,
  { what = 'messages', now = () => performance.now() } = {},
) {
  const began = now();
  const secondsSince = (time: number) => Math.max((now() - time) / 1_000, 0.001);
  let done = 0;
  let told = began;
  /** The first ones take as long as sorting them all takes. */
  let first: { at: number; count: number } | undefined;
  tell(total > 0 ? `0 of ${figure(total)} ${what}` : `no ${what} to take over`);
  return {
    add(messages: number): void {
      done += messages;
      first ??= { at: now(), count: done };
      if (now() - told < everyMs) return;
      told = now();
      const rate = (done - first.count) / secondsSince(first.at);
      const left = rate > 0 ? `, ${figure(rate)} a second, some ${figure((total - done) / rate)} s to go` : '';
      tell(`${figure(done)} of ${figure(total)} ${what} (${Math.floor((done / total) * 100)} %)${left}`);
    },
    end(): void {
      if (total === 0) return;
      const seconds = secondsSince(began);
      tell(`${figure(done)} ${what} in ${seconds.toFixed(1)} s, ${figure(done / seconds)} a second`);
    },
  };
}

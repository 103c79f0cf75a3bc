/**
 * Counts what strangers may cause as often as they like: the first is logged at once, and then one line per interval for
 * as long as there are more. `refused` is how many the line stands for, `address` where the last one came from.
 */
export function createRefusalLog(
  log: (fields: { refused: number; address: string | undefined }) => void,
  intervalMs = 60_000,
): (address: string | undefined) => void {
  let refused = 0;
  let address: string | undefined;
  let timer: NodeJS.Timeout | undefined;

  function flush(): void {
    timer = undefined;
    if (refused === 0) return;
    log({ refused, address });
    refused = 0;
    timer = setTimeout(flush, intervalMs).unref();
  }

  return (from) => {
    refused += 1;
    address = from;
    if (!timer) flush();
  };
}

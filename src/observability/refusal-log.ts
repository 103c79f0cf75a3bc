/**
 * Counts what strangers can cause as often as they like. The first refusal is logged at once, further ones with one line
 * per interval: `refused` is their number, `address` where the last one came from.
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

/**
 * Logs refusals without flooding the log: anyone can cause as many refusals as they like. The first refusal is
 * logged at once, further ones together in one line per interval. `refused` is the number of refusals since
 * the previous line, `address` is the address that caused the last of them.
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

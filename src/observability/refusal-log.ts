/**
 * Logs refusals without flooding the log, because anyone can cause any number of refusals. The first refusal is logged
 * at once. After that, one line per interval contains the number of refusals since the previous line (`refused`) and the
 * address of the last one (`address`).
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

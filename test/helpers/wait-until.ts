/** Polls a condition every few milliseconds until it holds or the timeout ends. Use it only if no event exists. */
export async function waitUntil(what: string, condition: () => unknown, timeoutMs = 15_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`Timed out after ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

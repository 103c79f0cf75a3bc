/** For what has no event: looks again every few milliseconds, and no longer than `patienceMs`. */
export async function waitUntil(what: string, condition: () => unknown, timeoutMs = 5_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`Not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

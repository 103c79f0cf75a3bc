/** For what has no event: looks again every few milliseconds, and no longer than `patienceMs`. */
export async function until(what: string, holds: () => unknown, patienceMs = 5_000): Promise<void> {
  const deadline = performance.now() + patienceMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`Not within ${patienceMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

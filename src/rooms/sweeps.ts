/** Runs the task again and again; jittered, so that the nodes do not ask the database in step. Returns the end of it. */
export function sweepEvery(ms: number, task: () => Promise<void>, failed: (error: unknown) => void): () => void {
  let timer: NodeJS.Timeout | undefined;
  let ended = false;
  function sweepLater(): void {
    const delay = ms * (0.75 + Math.random() / 2);
    timer = setTimeout(() => {
      task()
        .catch(failed)
        .finally(() => {
          if (!ended) sweepLater();
        });
    }, delay).unref();
  }
  sweepLater();
  return () => {
    ended = true;
    clearTimeout(timer);
  };
}

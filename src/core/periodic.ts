export interface TaskReport {
  failed(error: unknown): void;
  recovered(): void;
}

/**
 * Waits `intervalMs` ± 25 % before each run. The random part keeps nodes from querying the database all at the same
 * time. Returns a function that stops the runs.
 */
export function runPeriodically(intervalMs: number, task: () => Promise<void>, report: TaskReport): () => void {
  let timer: NodeJS.Timeout | undefined;
  let isStopped = false;
  function schedule(): void {
    const delayMs = intervalMs * (0.75 + Math.random() / 2);
    timer = setTimeout(() => {
      task()
        .then(report.recovered, report.failed)
        .finally(() => {
          if (!isStopped) schedule();
        });
    }, delayMs).unref();
  }
  schedule();
  return () => {
    isStopped = true;
    clearTimeout(timer);
  };
}

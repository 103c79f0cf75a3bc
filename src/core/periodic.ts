/** What becomes of each run of a task. */
export interface TaskReport {
  failed(error: unknown): void;
  recovered(): void;
}

/** Runs the task again and again; jittered, so that the nodes do not ask the database in step. Returns the end of it. */
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

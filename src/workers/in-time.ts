/** Resolves with false if the task has not ended after `ms`. */
export async function isInTime(task: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const timedOut = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  const ended = () => true;
  const inTime = await Promise.race([task.then(ended, ended), timedOut]);
  clearTimeout(timer);
  return inTime;
}

const maxConcurrentReads = 3;
/** If a read takes longer than this, the next read starts without waiting for it, because it may hang. */
const slowReadMs = 30;

interface QueuedRead<Value> {
  resolve(value: Value | undefined): void;
  reject(error: unknown): void;
}

/**
 * Creates a function that loads a value by its key. Keys that are requested while a read is running are collected, and
 * the next read loads them together, so that few reads are needed if many users join at once. A value is never older
 * than its request, because a request never uses the result of a read that has already begun.
 */
export function createBatchLoader<Key, Value>(read: (keys: readonly Key[]) => Promise<Map<Key, Value>>) {
  let queued = new Map<Key, QueuedRead<Value>[]>();
  let runningReads = 0;
  let timer: NodeJS.Timeout | undefined;

  async function run(): Promise<void> {
    runningReads += 1;
    while (queued.size > 0) {
      clearTimeout(timer);
      timer = undefined;
      const batch = queued;
      queued = new Map();
      try {
        const found = await read([...batch.keys()]);
        for (const [key, reads] of batch) for (const { resolve } of reads) resolve(found.get(key));
      } catch (error) {
        for (const reads of batch.values()) for (const { reject } of reads) reject(error);
      }
    }
    runningReads -= 1;
  }

  return (key: Key): Promise<Value | undefined> =>
    new Promise((resolve, reject) => {
      const sameKey = queued.get(key);
      if (sameKey) sameKey.push({ resolve, reject });
      else queued.set(key, [{ resolve, reject }]);
      if (runningReads === 0) void run();
      else if (runningReads < maxConcurrentReads) timer ??= setTimeout(run, slowReadMs);
    });
}

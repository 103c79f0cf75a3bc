/** So many reads are under way at once: a second one only where the first takes long, as when it hangs. */
const mostAtOnce = 3;
const longMs = 30;

interface Waiting<Value> {
  resolve(value: Value | undefined): void;
  reject(error: unknown): void;
}

/**
 * Reads by key, all that is asked for while others are read in one go, as in a storm of joins. An answer is never
 * older than its question: a read that has begun takes nobody in.
 */
export function sharedReads<Key, Value>(read: (keys: readonly Key[]) => Promise<Map<Key, Value>>) {
  let waiting = new Map<Key, Waiting<Value>[]>();
  let underway = 0;
  let timer: NodeJS.Timeout | undefined;

  async function run(): Promise<void> {
    underway += 1;
    while (waiting.size > 0) {
      clearTimeout(timer);
      timer = undefined;
      const asked = waiting;
      waiting = new Map();
      try {
        const found = await read([...asked.keys()]);
        for (const [key, all] of asked) for (const { resolve } of all) resolve(found.get(key));
      } catch (error) {
        for (const all of asked.values()) for (const { reject } of all) reject(error);
      }
    }
    underway -= 1;
  }

  return (key: Key): Promise<Value | undefined> =>
    new Promise((resolve, reject) => {
      const others = waiting.get(key);
      if (others) others.push({ resolve, reject });
      else waiting.set(key, [{ resolve, reject }]);
      if (underway === 0) void run();
      else if (underway < mostAtOnce) timer ??= setTimeout(run, longMs);
    });
}

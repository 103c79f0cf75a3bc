const timeoutMs = 15_000;

interface Waiter<T> {
  wanted: (item: T) => boolean;
  /** Whether it drops the items that it does not want. */
  drops: boolean;
  resolve: (item: T) => void;
  reject: (error: Error) => void;
}

/** Keeps what arrives until a test takes it. */
export interface FrameQueue<T> {
  push(item: T): void;
  /** Takes the first wanted item in order of arrival. With `drop`, removes the items before it, whenever they arrive. */
  take(what: string, wanted?: (item: T) => boolean, drop?: boolean): Promise<T>;
  /** No more items will arrive. Rejects all pending `take` calls with this reason. */
  end(reason: Error): void;
  readonly unread: readonly T[];
}

export function frameQueue<T>(): FrameQueue<T> {
  const items: T[] = [];
  const recent: T[] = [];
  const waiters = new Set<Waiter<T>>();
  let ended: Error | undefined;

  const arrived = () =>
    `${recent.length === 0 ? 'nothing' : recent.map((item) => JSON.stringify(item)).join('\n  ')}`.slice(-4_000);

  return {
    unread: items,
    push(item) {
      recent.push(item);
      if (recent.length > 20) recent.shift();
      const waiter = [...waiters].find(({ wanted }) => wanted(item));
      if (waiter) waiter.resolve(item);
      else if (![...waiters].some(({ drops }) => drops)) items.push(item);
    },
    take(what, wanted = () => true, drop = false) {
      const at = items.findIndex(wanted);
      if (at >= 0) {
        const [item] = items.splice(drop ? 0 : at, drop ? at + 1 : 1).slice(-1);
        return Promise.resolve(item as T);
      }
      if (drop) items.length = 0;
      const because = (reason: string) => new Error(`${reason} while waiting for ${what}; arrived:\n  ${arrived()}`);
      if (ended) return Promise.reject(because(ended.message));
      return new Promise((resolve, reject) => {
        const settled = () => {
          clearTimeout(timer);
          waiters.delete(waiter);
        };
        const waiter: Waiter<T> = {
          wanted,
          drops: drop,
          resolve: (item) => {
            settled();
            resolve(item);
          },
          reject: (error) => {
            settled();
            reject(because(error.message));
          },
        };
        const timer = setTimeout(() => waiter.reject(new Error(`Timed out after ${timeoutMs} ms`)), timeoutMs);
        waiters.add(waiter);
      });
    },
    end(reason) {
      ended ??= reason;
      for (const waiter of [...waiters]) waiter.reject(ended);
    },
  };
}

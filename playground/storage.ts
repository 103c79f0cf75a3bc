const prefix = 'nano-messaging playground: ';

/** Reads a value from the browser's storage; returns the fallback if it is missing or the storage is blocked. */
export function load<T>(name: string, fallback: T): T {
  try {
    const text = localStorage.getItem(prefix + name);
    return text === null ? fallback : (JSON.parse(text) as T);
  } catch {
    return fallback;
  }
}

export function save(name: string, value: unknown): void {
  try {
    localStorage.setItem(prefix + name, JSON.stringify(value));
  } catch {
    // A private window may block the storage; the value then lasts as long as the page.
  }
}

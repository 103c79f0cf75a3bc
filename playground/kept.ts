const prefix = 'nano-messaging playground: ';

/** What the browser keeps for this page; nothing where it keeps nothing. */
export function recall<T>(name: string, fallback: T): T {
  try {
    const text = localStorage.getItem(prefix + name);
    return text === null ? fallback : (JSON.parse(text) as T);
  } catch {
    return fallback;
  }
}

export function keep(name: string, value: unknown): void {
  try {
    localStorage.setItem(prefix + name, JSON.stringify(value));
  } catch {
    // A private window may keep nothing: then it lasts as long as the page.
  }
}

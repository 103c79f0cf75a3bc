const name = 'nano-messaging playground: key';

/** The key in the link that the server prints; without it the server issues no tokens. Kept for the lifetime of the tab. */
let key = keyInAddress() ?? stored();

export const pageKey = (): string | undefined => key;

/** The server rejects the key, so the page asks for the link again. */
export function dropKey(): void {
  key = undefined;
  try {
    sessionStorage.removeItem(name);
  } catch {}
}

/** Removes the key from the address bar, so that it is not in bookmarks, screenshots and copied addresses. */
function keyInAddress(): string | undefined {
  const found = /^#key=([\w-]+)$/.exec(location.hash)?.[1];
  if (found === undefined) return undefined;
  history.replaceState(history.state, '', location.pathname + location.search);
  try {
    sessionStorage.setItem(name, found);
  } catch {}
  return found;
}

function stored(): string | undefined {
  try {
    return sessionStorage.getItem(name) ?? undefined;
  } catch {
    return undefined;
  }
}

// If the tab already shows the page, opening the link changes only the fragment and loads nothing.
addEventListener('hashchange', () => {
  if (keyInAddress() !== undefined) location.reload();
});

const name = 'nano-messaging playground: key';

/** The key of the link that the server prints; without it the server makes no tokens. Kept as long as this tab. */
let key = keyInAddress() ?? stored();

export const pageKey = (): string | undefined => key;

/** The server does not take it (any more): the page asks for the link again. */
export function dropKey(): void {
  key = undefined;
  try {
    sessionStorage.removeItem(name);
  } catch {}
}

/** Takes it out of the address bar, and so out of bookmarks, screenshots and what is copied from there. */
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

// The link opened in a tab that shows the page already loads nothing by itself.
addEventListener('hashchange', () => {
  if (keyInAddress() !== undefined) location.reload();
});

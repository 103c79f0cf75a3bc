/** Secrets that appear in documentation. Each is long enough, but anyone can look it up. */
const publishedSecrets = new Set([
  'the-secret-your-backend-signs-with',
  'a secret of thirty-two bytes or more',
  'a-string-secret-at-least-256-bits-long',
  'your-super-secret-jwt-token-with-at-least-32-characters-long',
]);

const minDistinctBytes = 6;

/**
 * Returns the reason why the secret can be guessed, or undefined if it is strong enough. The text never contains the
 * secret.
 */
export function findWeakness(secret: string, minBytes: number): string | undefined {
  const bytes = Buffer.from(secret);
  if (bytes.length < minBytes) return `must have at least ${minBytes} bytes`;
  if (publishedSecrets.has(secret)) return 'is an example from a document';
  if (new Set(bytes).size < minDistinctBytes) return `has fewer than ${minDistinctBytes} different characters`;
  if (repeatsShorterText(secret)) return 'repeats a shorter text';
  return undefined;
}

/**
 * Whether the text consists of copies of a shorter text. Only such a text occurs in `text + text` at a position between
 * the start and the middle.
 */
function repeatsShorterText(text: string): boolean {
  return (text + text).indexOf(text, 1) < text.length;
}

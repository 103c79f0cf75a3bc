/** Secrets from public documentation. They are long enough, but anyone can look them up. */
const publishedSecrets = new Set([
  'the-secret-your-backend-signs-with',
  'a secret of thirty-two bytes or more',
  'a-string-secret-at-least-256-bits-long',
  'your-super-secret-jwt-token-with-at-least-32-characters-long',
]);

const minDistinctBytes = 6;

/**
 * Returns the reason why the secret is weak, or undefined if it is strong enough. The text does not contain the secret,
 * because it is printed and logged.
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
 * Returns whether the text consists of copies of a shorter text. In that case, and only then, `text + text` contains the
 * text at a position between the start and the middle.
 */
function repeatsShorterText(text: string): boolean {
  return (text + text).indexOf(text, 1) < text.length;
}

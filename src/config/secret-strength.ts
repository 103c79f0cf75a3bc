/** Secrets from documents. Each is long enough, but anyone can look it up. */
const publishedSecrets = new Set([
  'the-secret-your-backend-signs-with',
  'a secret of thirty-two bytes or more',
  'a-string-secret-at-least-256-bits-long',
  'your-super-secret-jwt-token-with-at-least-32-characters-long',
]);

const minDistinctBytes = 6;

/** Why a secret can be guessed, or undefined. The answer never contains the secret. */
export function findWeakness(secret: string, minBytes: number): string | undefined {
  const bytes = Buffer.from(secret);
  if (bytes.length < minBytes) return `must have at least ${minBytes} bytes`;
  if (publishedSecrets.has(secret)) return 'is an example from a document';
  if (new Set(bytes).size < minDistinctBytes) return `has fewer than ${minDistinctBytes} different characters`;
  if (isRepetition(secret)) return 'repeats a shorter text';
  return undefined;
}

/** A text that consists of copies of a shorter one appears in its own double before its end. */
function isRepetition(text: string): boolean {
  return (text + text).indexOf(text, 1) < text.length;
}

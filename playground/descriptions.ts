import type { RemovalCode } from 'nano-messaging-client';

/** Error codes in plain words, for readers who do not know the protocol. */
const plain: Record<string, string> = {
  UNAUTHENTICATED: 'The server does not accept this token.',
  TOKEN_EXPIRED: 'The token has expired. Get a fresh one.',
  TOKEN_REVOKED: 'The token has been revoked. Get a fresh one.',
  FORBIDDEN: 'Your rights do not allow this.',
  BANNED: 'You are banned from this room.',
  TOO_MANY_RULES: 'The room has reached its rule limit. Remove a member first.',
  NOT_FOUND: 'The room does not exist, or you are not a member.',
  LAST_ADMIN: 'The room needs an administrator. Make another member administrator first.',
  ROOM_FULL: 'The private room already has two members.',
  PAIR_EXISTS: 'These two already have a private room.',
  TOO_LARGE: 'The text is too long.',
  RATE_LIMITED: 'You are sending too fast. Wait a moment.',
  TOO_MANY_ROOMS: 'You have reached the room limit. Leave or delete a room.',
  TOO_MANY_CONNECTIONS: 'This person has too many open connections.',
  INTERNAL: 'Something went wrong on the server.',
  UNAVAILABLE: 'The server cannot do this right now. Try again in a moment.',
  TIMEOUT: 'The server did not answer in time.',
  UNREACHABLE: 'The server does not answer.',
  CLOSED: 'The connection was closed.',
};

/** Errors whose message has more detail than the code. */
const detailed = new Set(['BAD_REQUEST', 'NO_TOKEN', 'FORBIDDEN']);

export function describeError(error: unknown): string {
  const { code, message } = (error ?? {}) as { code?: string; message?: string };
  const sentence = (code && plain[code]) || message || 'Something went wrong.';
  return code && message && detailed.has(code) && message !== 'Your rights do not allow this'
    ? `${message}.`
    : sentence;
}

export const removals: Record<RemovalCode, { title: string; what: string }> = {
  BANNED: { title: 'You have been banned', what: 'You no longer receive messages, and you cannot write.' },
  RULE_REMOVED: { title: 'You have been removed', what: 'No rule admits you to this room any more.' },
  NO_READ: { title: 'You may no longer read here', what: 'Your rights no longer include r (read).' },
  LEVEL_TOO_LOW: {
    title: 'Your level is too low',
    what: 'The rule of your organisation requires a higher level.',
  },
  DECLINED: { title: 'You declined the invitation', what: 'Accept it to join again.' },
  ROOM_DELETED: { title: 'The room was deleted', what: 'The room and its messages are gone for everybody.' },
};

/** `rw` → `read and write`. */
export function describeRights(letters: string): string {
  if (letters.includes('b')) return 'banned';
  if (letters.includes('a')) return 'administer';
  const words = [letters.includes('r') && 'read', letters.includes('w') && 'write'].filter(Boolean);
  return words.join(' and ') || 'nothing';
}

export const formatTime = (iso: string) => new Date(iso).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });

export function formatDay(iso: string): string {
  const day = new Date(iso);
  if (day.toDateString() === new Date().toDateString()) return 'Today';
  return day.toLocaleDateString([], { weekday: 'long', day: 'numeric', month: 'long' });
}

import type { RemovalCode } from 'nano-messaging/client';

/** What went wrong, for somebody who has not read the protocol. */
const plain: Record<string, string> = {
  UNAUTHENTICATED: 'The server does not accept this token.',
  TOKEN_EXPIRED: 'The token has expired. Get a fresh one.',
  TOKEN_REVOKED: 'The token has been revoked. Get a fresh one.',
  FORBIDDEN: 'Your rights do not allow this.',
  BANNED: 'You are banned from this room.',
  TOO_MANY_RULES: 'This room has as many members as it may have.',
  NOT_FOUND: 'There is no such room for you.',
  LAST_ADMIN: 'A room keeps its last administrator.',
  ROOM_FULL: 'A private room is for two, and both are there.',
  PAIR_EXISTS: 'These two already have a private room.',
  TOO_LARGE: 'That is too long.',
  RATE_LIMITED: 'Too fast. Wait a moment.',
  TOO_MANY_ROOMS: 'There are as many rooms as there may be: leave or delete one.',
  TOO_MANY_CONNECTIONS: 'This person has too many connections open.',
  INTERNAL: 'Something went wrong on the server.',
  UNAVAILABLE: 'The server cannot do this right now. Try again in a moment.',
  TIMEOUT: 'The server did not answer in time.',
  UNREACHABLE: 'The server does not answer.',
  CLOSED: 'The connection was closed.',
};

/** A refusal in which the server says more than its code alone does. */
const detailed = new Set(['BAD_REQUEST', 'NO_TOKEN', 'FORBIDDEN']);

export function inWords(error: unknown): string {
  const { code, message } = (error ?? {}) as { code?: string; message?: string };
  const sentence = (code && plain[code]) || message || 'Something went wrong.';
  return code && message && detailed.has(code) && message !== 'Your rights do not allow this'
    ? `${message}.`
    : sentence;
}

export const removals: Record<RemovalCode, { title: string; what: string }> = {
  BANNED: { title: 'You have been banned', what: 'Nothing said from now on reaches you, and you cannot write.' },
  RULE_REMOVED: { title: 'You have been removed', what: 'No rule lets you into this room any more.' },
  NO_READ: { title: 'You may no longer read here', what: 'The letter r was taken from your rights.' },
  LEVEL_TOO_LOW: {
    title: 'Your level is too low',
    what: 'It no longer reaches what your organisation’s rule asks for.',
  },
  DECLINED: { title: 'You declined the invitation', what: 'Accept it to come back.' },
  ROOM_DELETED: { title: 'The room was deleted', what: 'It is gone for everybody, with its messages.' },
};

/** `rw` → `read and write`. */
export function rightsInWords(letters: string): string {
  if (letters.includes('b')) return 'banned';
  if (letters.includes('a')) return 'administer';
  const words = [letters.includes('r') && 'read', letters.includes('w') && 'write'].filter(Boolean);
  return words.join(' and ') || 'nothing';
}

export const timeOf = (iso: string) => new Date(iso).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });

export function dayOf(iso: string): string {
  const day = new Date(iso);
  if (day.toDateString() === new Date().toDateString()) return 'Today';
  return day.toLocaleDateString([], { weekday: 'long', day: 'numeric', month: 'long' });
}

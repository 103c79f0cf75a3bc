import { createContext, useContext } from 'react';

/** What your backend knows about the signed-in user, and the names of the people in their rooms. */
export type Session = { url: string; user: string; name: string; people: Record<string, string> };

export const SessionContext = createContext<Session | null>(null);
export const useSession = () => useContext(SessionContext)!;

export const readSession = () => JSON.parse(localStorage.getItem('session') ?? 'null') as Session | null;
export const signIn = async (name: string): Promise<Session & { token: string }> =>
  (await fetch(`/api/session?name=${name}`)).json();

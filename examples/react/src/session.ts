import { createContext, useContext } from 'react';

/** What your backend knows about the signed-in user, and the names of the people in their rooms. */
export type Session = { url: string; user: string; name: string; people: Record<string, string> };

export const SessionContext = createContext<Session | null>(null);
export const useSession = () => useContext(SessionContext)!;

/** Without the token, so that the app starts without a connection. */
export const readSession = () => JSON.parse(localStorage.getItem('session') ?? 'null') as Session | null;

export async function signIn(name: string): Promise<{ session: Session; token: string }> {
  const { token, ...session } = await (await fetch(`/api/session?name=${name}`)).json();
  localStorage.setItem('session', JSON.stringify(session));
  return { session, token };
}

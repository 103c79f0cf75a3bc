import { ChatProvider } from 'nano-messaging-client/react';
import { offline } from 'nano-messaging-client/storage';
import { StrictMode, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { Chat } from './chat.tsx';
import { readSession, SessionContext, signIn } from './session.ts';
import './style.css';

function App() {
  const [session, setSession] = useState(readSession);
  if (!session)
    return (
      <main className="sign-in">
        <h1>Who are you?</h1>
        {['Ada', 'Ben', 'Cleo'].map((name) => (
          <button key={name} type="button" onClick={async () => setSession((await signIn(name)).session)}>
            {name}
          </button>
        ))}
      </main>
    );
  const token = async () => (await signIn(session.name)).token;
  const signOut = () => {
    localStorage.clear();
    setSession(null);
  };
  return (
    <SessionContext value={session}>
      <ChatProvider options={{ url: session.url, user: session.user, token, storage: offline() }}>
        <Chat onSignOut={signOut} />
      </ChatProvider>
    </SessionContext>
  );
}

createRoot(document.querySelector('#root')!).render(
  <StrictMode>
    <App />
  </StrictMode>,
);

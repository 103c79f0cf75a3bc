import { ChatProvider } from 'nano-messaging-client/react';
import { offline } from 'nano-messaging-client/storage';
import { StrictMode, useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { Chat } from './chat.tsx';
import { Button } from './pane.tsx';
import { readSession, SessionContext, signIn } from './session.ts';

function App() {
  const [session, setSession] = useState(readSession);
  // Without the token, so that the app starts without a connection.
  useEffect(() => localStorage.setItem('session', JSON.stringify(session && { ...session, token: undefined })));
  if (!session)
    return (
      <main className="sign-in">
        <h1>Who are you?</h1>
        {['Ada', 'Ben', 'Cleo'].map((name) => (
          <Button key={name} onClick={async () => setSession(await signIn(name))}>
            {name}
          </Button>
        ))}
      </main>
    );
  const token = async () => (await signIn(session.name)).token;
  return (
    <SessionContext value={session}>
      <ChatProvider options={{ url: session.url, user: session.user, token, storage: offline() }}>
        <Chat onSignOut={() => setSession(null)} />
      </ChatProvider>
    </SessionContext>
  );
}

createRoot(document.querySelector('#root')!).render(
  <StrictMode>
    <App />
  </StrictMode>,
);

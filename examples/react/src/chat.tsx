import * as chat from 'nano-messaging-client/react';
import { useEffect, useState } from 'react';
import { Button, Pane } from './pane.tsx';
import { useSession } from './session.ts';

export function Chat({ onSignOut }: { onSignOut: () => void }) {
  const { name, people } = useSession();
  const client = chat.useChat();
  const { rooms } = chat.useInbox();
  const [problem, setProblem] = useState('');
  const [opened, open] = useState<{ room: number; thread?: number }>();
  const { room, thread } = opened ?? { room: rooms[0]?.id };
  useEffect(() => client.on('error', ({ message }) => setProblem(message)), [client]);
  // Also if the user signs out in another tab.
  useEffect(() => client.on('state', (state) => state === 'closed' && onSignOut()), [client, onSignOut]);
  return (
    <main className="chat" data-thread={thread !== undefined}>
      <nav aria-label="Rooms">
        <header>
          <h1>{name}</h1>
          <Button onClick={() => client.logout()}>Sign out</Button>
        </header>
        {rooms.map(({ id, name, unread, last_message: last }) => (
          <Button key={id} aria-current={id === room} onClick={() => open({ room: id })}>
            <strong>{name}</strong>
            {unread > 0 && <b>{unread} unread</b>}
            <small>{last ? `${people[last.emitter] ?? 'Somebody'}: ${last.content}` : 'No messages yet'}</small>
          </Button>
        ))}
      </nav>
      {chat.useConnection() !== 'connected' && <p role="status">Offline. What you write is sent later. {problem}</p>}
      {room && <Room key={`room ${room}`} id={room} onThread={(thread) => open({ room, thread })} />}
      {room && thread && <Thread key={`thread ${thread}`} id={room} seq={thread} onClose={() => open({ room })} />}
    </main>
  );
}

function Room({ id, onThread }: { id: number; onThread: (seq: number) => void }) {
  const room = chat.useChat().room(id);
  const { name = '', last_seq, error } = chat.useRoom(id, ({ info, error }) => ({ ...info, error }));
  const { count = 0 } = chat.usePresence(id) ?? {};
  useEffect(() => {
    const mark = () => document.hasFocus() && room.markRead();
    if (last_seq) mark();
    addEventListener('focus', mark);
    return () => removeEventListener('focus', mark);
  }, [room, last_seq]);
  return (
    <Pane id={id} title={name} view={chat.useMessages(id)} onThread={onThread}>
      <small>{error?.message ?? `${count} here`}</small>
    </Pane>
  );
}

function Thread({ id, seq, onClose }: { id: number; seq: number; onClose: () => void }) {
  const { root, messages: replies, ...view } = chat.useThread(id, seq);
  return (
    <Pane id={id} seq={seq} title="Thread" view={{ ...view, messages: root ? [root, ...replies] : replies }}>
      <small>{view.error?.message}</small>
      <Button onClick={onClose}>Close</Button>
    </Pane>
  );
}

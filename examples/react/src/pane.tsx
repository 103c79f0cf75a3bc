import type { ClientRoom, Message, Operation } from 'nano-messaging-client';
import { type MessagesView, useChat, useTyping } from 'nano-messaging-client/react';
import { type ComponentProps, memo, type ReactNode, useState } from 'react';
import { useSession } from './session.ts';

export const Button = (props: ComponentProps<'button'>) => <button type="button" {...props} />;

type OnThread = { onThread?: (seq: number) => void };
type PaneProps = OnThread & { id: number; seq?: number; title: string; view: MessagesView; children: ReactNode };

/** The messages of a room or, with `seq`, of a thread. */
export function Pane({ id, seq, title, view, onThread, children }: PaneProps) {
  const { people } = useSession();
  const typing = useTyping(id, seq).map(({ user }) => people[user]);
  const room = useChat().room(id);
  const place = seq === undefined ? room : room.thread(seq);
  return (
    <section aria-label={title}>
      <header>
        <h2>{title}</h2>
        {children}
      </header>
      <div className="log" role="log" aria-label={`Messages: ${title}`}>
        <div>
          {view.hasOlder && <Button onClick={() => place.loadOlder()}>Older messages</Button>}
          {view.messages.map((message) => (
            <Row key={message.seq} room={room} message={message} onThread={onThread} />
          ))}
          {view.outbox.map(({ client_msg_id, content, state, error, retry, discard }) => (
            <article key={client_msg_id} data-own="true" data-pending={state}>
              <small>{error?.message ?? 'sending…'}</small>
              <p>{content}</p>
              {error && <Button onClick={retry}>Retry</Button>}
              {error && <Button onClick={discard}>Discard</Button>}
            </article>
          ))}
        </div>
      </div>
      <small aria-live="polite">{typing.length > 0 && `${typing.join(', ')} typing…`}</small>
      <Composer placeholder="Message" onInput={() => room.setTyping(true, seq)} onSend={(text) => place.send(text)} />
    </section>
  );
}

/** Is rendered again only if its message changes. */
const Row = memo(({ room, message, onThread }: OnThread & { room: ClientRoom; message: Message }) => {
  const { user, people } = useSession();
  const [isEditing, setEditing] = useState(false);
  const [error, setError] = useState<Error>();
  const { seq, emitter, content, createdAt, editedAt, deletedAt, reactions, replies, pending } = message;
  const time = new Date(createdAt).toLocaleTimeString([], { timeStyle: 'short' });
  const attempt = ({ confirmed }: Operation<unknown>) => confirmed.then(() => setError(undefined), setError);
  const edit = (text: string) =>
    text === content ? setEditing(false) : attempt(room.edit(seq, text)).then(() => setEditing(false));
  return (
    <article data-own={emitter === user} data-pending={pending}>
      <small>{`${people[emitter] ?? emitter.slice(0, 8)}, ${time}${editedAt ? ', edited' : ''}`}</small>
      {isEditing ? <Composer placeholder="Edit" defaultValue={content} onSend={edit} /> : <p>{content || 'Deleted'}</p>}
      {reactions.map(({ emoji, count, mine }) => (
        <Button key={emoji} aria-pressed={!!mine} onClick={() => attempt(room[mine ? 'unreact' : 'react'](seq, emoji))}>
          {emoji} {count}
        </Button>
      ))}
      {onThread && replies.count > 0 && <Button onClick={() => onThread(seq)}>Replies: {replies.count}</Button>}
      {error && <small role="alert">{error.message}</small>}
      {!deletedAt && (
        <div>
          {['👍', '❤️', '😂'].map((emoji) => (
            <Button key={emoji} aria-label={`React with ${emoji}`} onClick={() => attempt(room.react(seq, emoji))}>
              {emoji}
            </Button>
          ))}
          {onThread && <Button onClick={() => onThread(seq)}>Reply</Button>}
          {emitter === user && <Button onClick={() => setEditing(true)}>Edit</Button>}
          {emitter === user && <Button onClick={() => attempt(room.delete(seq))}>Delete</Button>}
        </div>
      )}
    </article>
  );
});

const Composer = ({ onSend, ...input }: ComponentProps<'input'> & { onSend: (text: string) => void }) => (
  <form action={(form) => onSend(String(form.get('text')))}>
    <input name="text" aria-label={input.placeholder} required {...input} />
    <Button type="submit">{input.defaultValue ? 'Save' : 'Send'}</Button>
  </form>
);

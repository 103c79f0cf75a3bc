import { html, nothing } from 'lit';
import type { Message } from 'nano-messaging-client';

/** What the person can do with a message. */
export interface MessageActions {
  react(message: Message, emoji: string, isAdded: boolean): void;
  reply(message: Message): void;
  /** Undefined in a thread. */
  openThread: ((message: Message) => void) | undefined;
  edit(message: Message): void;
  remove(message: Message): void;
}

const emojis = ['👍', '❤️', '😂'];

export function reactionsOf(message: Message, { react }: MessageActions) {
  if (message.reactions.length === 0) return nothing;
  return html`<span class="reactions">
    ${message.reactions.map(
      ({ emoji, count, mine }) => html`<button
        class="reaction"
        type="button"
        aria-pressed=${mine ? 'true' : 'false'}
        aria-label=${`${emoji} ${count}`}
        @click=${() => react(message, emoji, !mine)}
      >
        ${emoji} ${count}
      </button>`,
    )}
  </span>`;
}

export function actionsOf(message: Message, isOwn: boolean, actions: MessageActions) {
  if (message.deletedAt) return nothing;
  const { openThread } = actions;
  const button = (label: string, act: (message: Message) => void) =>
    html`<button class="link" type="button" @click=${() => act(message)}>${label}</button>`;
  return html`<span class="message-actions">
    ${emojis.map(
      (emoji) => html`<button
        class="link"
        type="button"
        aria-label=${`React with ${emoji}`}
        @click=${() => actions.react(message, emoji, true)}
      >
        ${emoji}
      </button>`,
    )}
    ${button('Reply', actions.reply)} ${openThread ? button('Thread', openThread) : nothing}
    ${isOwn ? html`${button('Edit', actions.edit)} ${button('Delete', actions.remove)}` : nothing}
  </span>`;
}

/** The number of replies, which opens the thread. */
export function repliesOf(message: Message, { openThread }: MessageActions) {
  const { count } = message.replies;
  if (count === 0 || !openThread) return nothing;
  return html`<button class="link replies" type="button" @click=${() => openThread(message)}>
    ${count === 1 ? '1 reply' : `${count} replies`}
  </button>`;
}

import { html, nothing } from 'lit';
import { keyed } from 'lit/directives/keyed.js';
import { ref } from 'lit/directives/ref.js';
import type { ClientRoom } from 'nano-messaging-client';
import type { OpenRoom } from '../open-room.ts';
import type { Person } from '../people.ts';
import { icon } from './icons.ts';

/** Lit calls this before the element is in the document. */
const focusLater = (field?: Element) => queueMicrotask(() => (field as HTMLElement | undefined)?.focus());

/** Writes a message, a reply, or the new text of a message. */
export function composer(openRoom: OpenRoom, person: Person) {
  const { room, draft } = openRoom;
  const why = muteReason(room);
  const send = (field: HTMLTextAreaElement) => {
    if (why || field.value.trim() === '') return;
    openRoom.submit(field.value);
    field.value = '';
    field.focus();
  };
  const pressed = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send(event.currentTarget as HTMLTextAreaElement);
  };
  const submitted = (event: SubmitEvent) => {
    event.preventDefault();
    send((event.currentTarget as HTMLFormElement).querySelector('textarea')!);
  };
  const what = draft?.kind === 'edit' ? 'Edit' : 'Reply to';
  return html`${
    draft
      ? html`<p class="draft">
          <span>${what}: ${draft.message.content}</span>
          <button class="link" type="button" @click=${() => openRoom.setDraft(undefined)}>Cancel</button>
        </p>`
      : nothing
  }
    ${keyed(
      draft,
      html`<form class="composer" @submit=${submitted}>
      <textarea
        ${ref(draft && focusLater)}
        rows="1"
        .value=${draft?.kind === 'edit' ? draft.message.content : ''}
        aria-label="Message as ${person.name}"
        placeholder=${why ?? `Write as ${person.name}`}
        title="Enter sends, Shift+Enter starts a new line"
        ?disabled=${why !== undefined}
        @keydown=${pressed}
        @input=${() => room.setTyping(true, openRoom.thread?.seq)}
      ></textarea>
      <button class="button primary square" type="submit" aria-label="Send" ?disabled=${why !== undefined}>${icon('send')}</button>
    </form>`,
    )}`;
}

function muteReason({ state, rights: letters, info }: ClientRoom): string | undefined {
  if (state === 'removed' || state === 'rejected') return 'You are not in this room';
  if (info && state === 'joined' && !letters.includes('w') && !letters.includes('a')) return 'You may only read here';
  return undefined;
}

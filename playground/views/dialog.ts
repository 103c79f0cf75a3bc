import { html } from 'lit';
import { ref } from 'lit/directives/ref.js';
import { icon } from './icons.ts';

const opened = (element?: Element) => {
  const dialog = element as HTMLDialogElement | undefined;
  if (dialog?.isConnected && !dialog.open) dialog.showModal();
};

/** Modal: it keeps the focus, and closes with Esc and on a click outside. */
export function dialog(title: string, close: () => void, content: unknown) {
  const beside = (event: MouseEvent) =>
    event.target === event.currentTarget && (event.target as HTMLDialogElement).close();
  return html`<dialog ${ref((element) => queueMicrotask(() => opened(element)))} aria-label=${title} @close=${close} @click=${beside}>
    <div class="dialog">
      <header>
        <h2>${title}</h2>
        <button
          class="button quiet square"
          type="button"
          aria-label="Close"
          @click=${(event: Event) => (event.currentTarget as HTMLElement).closest('dialog')!.close()}
        >
          ${icon('close')}
        </button>
      </header>
      ${content}
    </div>
  </dialog>`;
}

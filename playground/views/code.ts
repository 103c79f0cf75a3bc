import { html } from 'lit';
import { serviceUrl } from '../service.ts';

/** A program that joins this room. */
const codeFor = (room: number) => `import { connect } from 'nano-messaging-client';

const chat = connect({
  url: '${serviceUrl}',
  token: async () => (await fetch('/api/chat-token')).text(), // a JWT that your backend signs
});
const room = chat.room(${room});
room.on('change', () => console.log(room.messages.map(({ content }) => content)));
await room.joined();
room.send('Hello');`;

export function codeView(room: number) {
  const code = codeFor(room);
  const copy = async (event: Event) => {
    const panel = (event.currentTarget as HTMLElement).closest('.code')!;
    const result = panel.querySelector('[role=status]')!;
    try {
      await navigator.clipboard.writeText(code);
      result.textContent = 'Copied';
    } catch {
      // Browsers allow it only on https and on loopback addresses.
      getSelection()!.selectAllChildren(panel.querySelector('pre')!);
      result.textContent = 'Selected: press Ctrl+C or ⌘C to copy';
    }
  };
  return html`<div class="code">
    <div class="code-head">
      <h4>This room in your own code</h4>
      <span class="hint" role="status"></span>
      <button class="button small" type="button" @click=${copy}>Copy</button>
    </div>
    <pre tabindex="0" aria-label="Code">${code}</pre>
    <p class="hint">
      Without the client, see the <a href="docs">REST reference</a>, and the events and commands as
      <a href="asyncapi.json">AsyncAPI</a>. <code>docs/guides/client.md</code> in the package describes the client.
    </p>
  </div>`;
}

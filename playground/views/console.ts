import { html, nothing } from 'lit';
import { live } from 'lit/directives/live.js';
import type { App } from '../app.ts';
import type { Transport } from '../frames.ts';
import { type TemplateName, templates, tokenMark } from '../raw-chat.ts';
import { icon } from './icons.ts';
import './frame-list.ts';

const transports: readonly Transport[] = ['Socket.IO', '/chat', 'REST'];

export function consoleView(app: App) {
  const { frames, isConsoleOpen } = app;
  return html`<section class="console ${isConsoleOpen ? 'open' : ''}" aria-label="Console">
    <header class="console-head">
      <button
        class="console-toggle"
        type="button"
        aria-expanded=${isConsoleOpen ? 'true' : 'false'}
        @click=${() => app.toggleConsole()}
      >
        ${icon(isConsoleOpen ? 'down' : 'up')}<h2>Console</h2><span class="amount">${frames.all.length} frames</span>
      </button>
      ${
        app.areHintsShown
          ? nothing
          : html`<button class="button quiet small" type="button" @click=${() => app.showHints()}>Things to try</button>`
      }
      <div class="filters" role="group" aria-label="Frames to show">
        ${transports.map(
          (transport) => html`<button
            class="toggle"
            type="button"
            aria-pressed=${app.hiddenTransports.has(transport) ? 'false' : 'true'}
            @click=${() => app.toggleTransport(transport)}
          >
            ${transport}
          </button>`,
        )}
      </div>
      <button class="button quiet small" type="button" @click=${() => frames.clear()}>Clear</button>
    </header>
    <div class="console-body">
      <frame-list
        role="log"
        aria-live="off"
        aria-label="Frames"
        tabindex="0"
        .frames=${shownFrames(app)}
        .people=${app.people}
      ></frame-list>
      ${rawChat(app)}
    </div>
  </section>`;
}

let shown: { of: unknown; key: string; frames: App['frames']['all'] } | undefined;

/** Returns the same array as long as the visible frames are the same. */
function shownFrames({ frames, hiddenTransports }: App) {
  const key = [...hiddenTransports].sort().join();
  if (shown?.of !== frames.all || shown.key !== key) {
    shown = { of: frames.all, key, frames: frames.all.filter(({ transport }) => !hiddenTransports.has(transport)) };
  }
  return shown.frames;
}

function rawChat(app: App) {
  const { raw, people } = app;
  const person = raw.person ?? app.panes.left.person ?? people.all[0];
  const room = app.panes.left.current ?? app.panes.right.current ?? 1;
  const field = (inside: Event) =>
    (inside.currentTarget as HTMLElement).closest('.raw')!.querySelector<HTMLTextAreaElement>('textarea')!;
  const fill = (event: Event, name: TemplateName) => {
    field(event).value = JSON.stringify(templates[name](room));
    field(event).focus();
  };
  const connect = (event: Event) => {
    event.preventDefault();
    if (raw.state !== 'closed') return raw.close();
    const { value } = (event.currentTarget as HTMLFormElement).querySelector('select')!;
    const chosen = people.get(value);
    if (chosen) raw.connect(chosen);
  };
  const send = async (event: Event) => {
    event.preventDefault();
    const text = field(event).value;
    if (text.trim() !== '') await raw.send(text);
  };
  const pressed = (event: KeyboardEvent) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) void send(event);
  };
  const isOpen = raw.state === 'open';
  return html`<section class="raw" aria-label="Raw /chat">
    <form class="raw-head" @submit=${connect}>
      <h3><code>/chat</code></h3>
      <span class="status ${isOpen ? 'good' : raw.state === 'connecting' ? 'waiting' : 'off'}" role="status"
        ><span class="dot" aria-hidden="true"></span>${raw.state}</span
      >
      <span class="select small"
        ><select aria-label="Connect as" ?disabled=${raw.state !== 'closed'} .value=${live(person?.id ?? '')}>
          ${people.all.map(({ id, name }) => html`<option value=${id} ?selected=${id === person?.id}>${name}</option>`)}</select
        >${icon('down')}</span
      >
      <button class="button small ${isOpen ? '' : 'primary'}" type="submit">${raw.state === 'closed' ? 'Connect' : 'Disconnect'}</button>
    </form>
    <div class="templates" role="group" aria-label="Commands">
      ${(Object.keys(templates) as TemplateName[]).map(
        (name) =>
          html`<button class="toggle mono" type="button" @click=${(event: Event) => fill(event, name)}>${name}</button>`,
      )}
    </div>
    <form class="raw-send" @submit=${send}>
      <textarea
        class="mono"
        rows="3"
        spellcheck="false"
        aria-label="Command"
        placeholder="Choose a command above, or write any text"
        title="Enter sends, Shift+Enter starts a new line"
        @keydown=${pressed}
      ></textarea>
      <button class="button small" type="submit" ?disabled=${!isOpen}>Send</button>
    </form>
    <p class="hint">${raw.notice || html`<code>${tokenMark}</code> is replaced by ${person ? `${person.name}’s` : 'the'} token. Press Enter to send.`}</p>
  </section>`;
}

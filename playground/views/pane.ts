import { html, nothing } from 'lit';
import { live } from 'lit/directives/live.js';
import type { App } from '../app.ts';
import type { Pane } from '../pane.ts';
import type { Person } from '../people.ts';
import { avatar } from './avatar.ts';
import { conversation } from './conversation.ts';
import { icon } from './icons.ts';
import { roomsView } from './rooms.ts';

export function paneView(app: App, pane: Pane, side: 'left' | 'right') {
  const { person } = pane;
  return html`<section
    class="pane ${pane.current === undefined ? 'choosing' : 'in-room'}"
    data-side=${side}
    aria-label=${person ? `${person.name}’s pane` : `${pane.name} pane, empty`}
  >
    ${head(app, pane)}
    ${
      pane.notice
        ? html`<div class="notice" role="alert">
            ${icon('warning')}<span>${pane.notice}</span>
            ${
              pane.state === 'unauthorized'
                ? html`<button class="link" type="button" @click=${() => pane.reconnect()}>Connect again</button>`
                : nothing
            }
            <button class="button quiet square small" type="button" aria-label="Dismiss" @click=${() => pane.dismissNotice()}>
              ${icon('close')}
            </button>
          </div>`
        : nothing
    }
    ${
      person
        ? html`<div class="pane-body">${roomsView(app, pane)} ${conversation(app, pane, person)}</div>`
        : html`<div class="empty">
            <p>This pane is empty.</p>
            <p>Choose a person above, or <button class="link" type="button" @click=${() => app.open({ name: 'people' })}>add a person</button>.</p>
          </div>`
    }
  </section>`;
}

function head(app: App, pane: Pane) {
  const { person } = pane;
  const choose = (event: Event) => pane.setPerson(app.people.get((event.target as HTMLSelectElement).value));
  const organisation = app.people.organisation(person?.organisation)?.name;
  return html`<header class="pane-head">
    ${person ? avatar(app.people, person.id) : html`<span class="avatar stranger" aria-hidden="true">?</span>`}
    <div class="who-is">
      <span class="select">
        <select aria-label="${pane.name} person" .value=${live(person?.id ?? '')} @change=${choose}>
          <option value="" ?selected=${!person}>Nobody</option>
          ${app.people.all.map((one) => html`<option value=${one.id} ?selected=${one.id === person?.id}>${one.name}</option>`)}
        </select>
        ${icon('down')}
      </span>
      <span class="claims">${person ? `${organisation ?? 'No organisation'} · level ${person.level}` : 'Choose a person'}</span>
    </div>
    ${person ? connection(pane, person) : nothing}
  </header>`;
}

const states = {
  connecting: { word: 'connecting', tone: 'waiting' },
  connected: { word: 'connected', tone: 'good' },
  unauthorized: { word: 'unauthorized', tone: 'bad' },
  closed: { word: 'closed', tone: 'bad' },
} as const;

/** The state of the connection, and the position in the log of the open room. */
function connection(pane: Pane, person: Person) {
  const { word, tone } = pane.isOffline
    ? ({ word: 'offline', tone: 'off' } as const)
    : states[pane.state ?? 'connecting'];
  const rev = pane.openRoom?.room.rev;
  return html`<div class="connection">
    <span class="status ${tone}" role="status"><span class="dot" aria-hidden="true"></span>${word}</span>
    <span class="rev" title="Position in the room’s log">${rev ? `rev ${rev}` : ''}</span>
    <label class="switch" title="Cuts ${person.name}’s connection until you switch it off again">
      <input
        type="checkbox"
        role="switch"
        .checked=${live(pane.isOffline)}
        @change=${(event: Event) => pane.setOffline((event.target as HTMLInputElement).checked)}
      >
      <span class="track" aria-hidden="true"></span>Offline
    </label>
  </div>`;
}

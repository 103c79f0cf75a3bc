import { html, nothing } from 'lit';
import type { App, View } from '../app.ts';
import { pageKey } from '../page-key.ts';
import { loadSample } from '../sample.ts';
import { issuesTokens, serviceUrl } from '../service.ts';
import { consoleView } from './console.ts';
import { icon } from './icons.ts';
import { paneView } from './pane.ts';
import { peopleDialog } from './people-dialog.ts';
import { roomDialog } from './room-dialog.ts';

export function appView(app: App) {
  const isEmpty = app.people.all.length === 0;
  return html`
    <div class="app" data-place=${app.view}>
      ${header(app)}
      ${issuesTokens && pageKey() === undefined ? keyMissing() : isEmpty ? welcome(app) : stage(app)}
    </div>
    ${app.dialog?.name === 'people' ? peopleDialog(app, app.dialog.edit) : nothing}
    ${app.dialog?.name === 'room' ? roomDialog(app, app.dialog.pane) : nothing}
  `;
}

function header(app: App) {
  const other = app.theme === 'light' ? 'dark' : 'light';
  return html`<header class="bar">
    <img class="logo" src="playground/icon.svg" alt="" width="28" height="28">
    <h1>nano-messaging <span class="chip">playground</span></h1>
    <span class="where" title="The URL of the service">${serviceUrl}</span>
    <div class="actions">
      ${
        app.people.all.length > 0 && issuesTokens && pageKey() !== undefined
          ? html`<button class="button quiet sample" type="button" ?disabled=${app.isBusy} @click=${() => sample(app)}>
              ${icon('spark')}<span>Load a sample</span>
            </button>`
          : nothing
      }
      <a class="button quiet" href="docs" title="The REST reference">${icon('book')}<span>API</span></a>
      <button class="button quiet" type="button" @click=${() => app.open({ name: 'people' })}>
        ${icon('people')}<span>People</span>
      </button>
      <button
        class="button quiet square"
        type="button"
        aria-label="Switch to the ${other} theme"
        title="Switch to the ${other} theme"
        @click=${() => app.toggleTheme()}
      >
        ${icon(app.theme === 'light' ? 'moon' : 'sun')}
      </button>
    </div>
  </header>`;
}

const sample = (app: App) => app.whileBusy(() => loadSample(app));

/** With the key, a visitor can act as any user, so the address alone is not enough. */
function keyMissing() {
  return html`<main class="welcome">
    <div class="card">
      <h2>Open the link printed in the terminal</h2>
      <p>
        This page needs the key at the end of the link that the server printed when it started. It looks like this:
      </p>
      <pre>${serviceUrl}/#key=…</pre>
      <p class="small">
        The link is also the <code>playgroundUrl</code> of the log line <code>listening</code>, and the key is in the file
        <code>playground-key</code> of the data directory (<code>.data</code>).
      </p>
    </div>
  </main>`;
}

function welcome(app: App) {
  return html`<main class="welcome">
    <div class="card">
      <h2>See what it does in a minute</h2>
      <p>
        Two people chat side by side through this server, each over their own connection. The console below shows every
        frame.
      </p>
      ${
        issuesTokens
          ? html`<div class="choices">
                <button class="button primary large" type="button" ?disabled=${app.isBusy} @click=${() => sample(app)}>
                  ${icon('spark')}<span>${app.isBusy ? 'Loading…' : 'Load a sample'}</span>
                </button>
                <button class="button large" type="button" @click=${() => app.open({ name: 'people' })}>
                  Start empty
                </button>
              </div>
              <p class="small">The sample creates Ada and Ben of Acme, a room with a few messages, and Cleo for you to invite.</p>`
          : html`<p>
                This server issues no tokens for the page, so each person needs a token that your backend signed. To print a
                token, run this on the machine of the server:
              </p>
              <pre>npm run token -- --level 100</pre>
              <div class="choices">
                <button class="button primary large" type="button" @click=${() => app.open({ name: 'people' })}>
                  ${icon('people')}<span>Add a person with a token</span>
                </button>
              </div>`
      }
      <ol class="steps">
        <li><b>People</b> are defined by their tokens: a user, an organisation, a level.</li>
        <li><b>Rooms</b> admit the people whom a rule names, with the rights <code>r</code> <code>w</code> <code>a</code>.</li>
        <li><b>Messages</b> arrive in order and once, also after a lost connection.</li>
      </ol>
      <p class="small">Everything here uses the public API: try it in <a href="docs">the REST reference</a>.</p>
    </div>
  </main>`;
}

function stage(app: App) {
  return html`
    ${tabs(app)} ${app.areHintsShown ? hints(app) : nothing}
    <main class="panes">${paneView(app, app.panes.left, 'left')} ${paneView(app, app.panes.right, 'right')}</main>
    ${consoleView(app)}
  `;
}

/** For narrow screens, which show a single pane or the console. */
function tabs(app: App) {
  const tab = (view: View, label: string, unread: number) => html`<button
    type="button"
    aria-current=${app.view === view ? 'true' : 'false'}
    @click=${() => app.show(view)}
  >
    <span class="label">${label}</span>${unread > 0 ? html`<span class="count">${unread}</span>` : nothing}
  </button>`;
  return html`<nav class="places" aria-label="Panes">
    ${tab('left', app.panes.left.person?.name ?? 'Left', app.panes.left.unread)}
    ${tab('right', app.panes.right.person?.name ?? 'Right', app.panes.right.unread)}
    ${tab('console', 'Console', 0)}
  </nav>`;
}

function hints(app: App) {
  return html`<aside class="hints" aria-label="Things to try">
    <b>Try</b>
    <ul>
      <li>Write: the other side receives it at once</li>
      <li>Go <i>offline</i>, write from the other pane, go online again: nothing is missed</li>
      <li><i>Members</i>: ban Ben, invite Cleo</li>
      <li><i>Code</i>: join this room in ten lines</li>
    </ul>
    <button class="button quiet square small" type="button" aria-label="Hide the hints" @click=${() => app.dismissHints()}>
      ${icon('close')}
    </button>
  </aside>`;
}

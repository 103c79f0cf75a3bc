import { html, nothing } from 'lit';
import { keyed } from 'lit/directives/keyed.js';
import type { App } from '../app.ts';
import type { Person } from '../people.ts';
import { isUuid, newUuid } from '../uuid.ts';
import { avatar } from './avatar.ts';
import { dialog } from './dialog.ts';
import { icon } from './icons.ts';
import { personForm } from './person-form.ts';

export function peopleDialog(app: App, edit: string | undefined) {
  const edited = app.people.get(edit);
  return dialog(
    'People',
    () => app.open(undefined),
    html`<div class="stack">
      <p class="hint">People are stored in this browser. The server knows only the claims in their tokens, and does not store them.</p>
      ${
        app.people.all.length > 0
          ? html`<ul class="cast">
              ${app.people.all.map((person) => personRow(app, person, person === edited))}
            </ul>`
          : nothing
      }
      ${keyed(edited?.id, personForm(app, edited))} ${organisations(app)}
    </div>`,
  );
}

function personRow(app: App, person: Person, isEdited: boolean) {
  const organisation = app.people.organisation(person.organisation)?.name ?? 'no organisation';
  return html`<li class=${isEdited ? 'edited' : ''}>
    ${avatar(app.people, person.id)}
    <div class="rule-who">
      <b>${person.name}</b>
      <span>${organisation} · level ${person.level}</span>
      <code title="userUUID">${person.id}</code>
    </div>
    <button
      class="button quiet square small"
      type="button"
      aria-label="Change ${person.name}"
      @click=${() => app.open({ name: 'people', edit: isEdited ? undefined : person.id })}
    >
      ${icon('edit')}
    </button>
    <button class="button quiet square small" type="button" aria-label="Forget ${person.name}" @click=${() => app.people.remove(person.id)}>
      ${icon('trash')}
    </button>
  </li>`;
}

function organisations(app: App) {
  const add = (event: SubmitEvent) => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const { name, id } = Object.fromEntries(new FormData(form)) as Record<string, string>;
    app.people.putOrganisation({ id: id && isUuid(id) ? id.trim().toLowerCase() : newUuid(), name: name!.trim() });
    form.reset();
  };
  return html`<form class="form" @submit=${add} aria-label="New organisation">
    <h3>Organisations</h3>
    ${
      app.people.organisations.length > 0
        ? html`<ul class="cast wide">
            ${app.people.organisations.map(
              ({ id, name }) => html`<li>
                ${avatar(app.people, id)}
                <div class="rule-who"><b>${name}</b><code title="entityUUID">${id}</code></div>
                <button class="button quiet square small" type="button" aria-label="Forget ${name}" @click=${() => app.people.removeOrganisation(id)}>
                  ${icon('trash')}
                </button>
              </li>`,
            )}
          </ul>`
        : nothing
    }
    <label class="field grow">New organisation <input name="name" required maxlength="40" autocomplete="off"></label>
    <label class="field grow">UUID <input name="id" placeholder="generated if empty" spellcheck="false" autocomplete="off"></label>
    <button class="button" type="submit">Add</button>
  </form>`;
}

import { html, nothing } from 'lit';
import type { App } from '../app.ts';
import type { Person } from '../people.ts';
import { issuesTokens } from '../service.ts';
import { readClaims } from '../tokens.ts';
import { isUuid, newUuid } from '../uuid.ts';
import { icon } from './icons.ts';

export function personForm(app: App, edited: Person | undefined) {
  const save = (event: SubmitEvent) => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const values = Object.fromEntries(new FormData(form)) as Record<string, string>;
    const token = values.token?.replaceAll(/\s/g, '');
    const person = app.people.put({
      id: (values.id && isUuid(values.id) ? values.id.trim().toLowerCase() : edited?.id) ?? newUuid(),
      name: values.name!.trim(),
      organisation: values.organisation || undefined,
      level: Number(values.level) || 0,
      ...(token && { token }),
    });
    const free = app.bothPanes.find((pane) => !pane.person);
    if (!edited && free) free.setPerson(person);
    form.reset();
    app.open({ name: 'people' });
  };
  return html`<form class="form person" @submit=${save} aria-label=${edited ? `Change ${edited.name}` : 'New person'}>
    <h3>${edited ? `Change ${edited.name}` : 'New person'}</h3>
    <label class="field grow">Name <input name="name" required maxlength="40" autocomplete="off" .value=${edited?.name ?? ''}></label>
    ${issuesTokens ? nothing : tokenField(app, edited)}
    <label class="field grow"
      >Organisation
      <span class="select"
        ><select name="organisation">
          <option value="">None</option>
          ${app.people.organisations.map(({ id, name }) => html`<option value=${id} ?selected=${id === edited?.organisation}>${name}</option>`)}</select
        >${icon('down')}</span
      >
    </label>
    <label class="field short">Level <input name="level" type="number" .value=${String(edited?.level ?? 100)}></label>
    ${
      edited
        ? nothing
        : html`<label class="field wide">UUID <input name="id" placeholder="generated if empty" spellcheck="false" autocomplete="off"></label>`
    }
    <div class="form-acts">
      <button class="button primary" type="submit">${edited ? 'Save' : 'Add the person'}</button>
      ${edited ? html`<button class="button" type="button" @click=${() => app.open({ name: 'people' })}>Cancel</button>` : nothing}
    </div>
  </form>`;
}

/** A token defines the person, so it fills in the other fields. */
function tokenField(app: App, edited: Person | undefined) {
  const pasted = (event: Event) => {
    const field = event.currentTarget as HTMLTextAreaElement;
    const claims = readClaims(field.value.trim());
    field.setCustomValidity(claims || field.value === '' ? '' : 'This is not a JWT');
    if (!claims) return;
    const { userUUID, sub, entityUUID, levelOnEntity } = claims;
    const form = field.form!;
    const fill = (name: string, value: unknown) => {
      const input = form.elements.namedItem(name) as HTMLInputElement | HTMLSelectElement | null;
      if (input && value !== undefined) input.value = String(value);
    };
    if (typeof entityUUID === 'string' && isUuid(entityUUID) && !app.people.organisation(entityUUID)) {
      app.people.putOrganisation({ id: entityUUID, name: `Organisation ${entityUUID.slice(0, 4)}` });
    }
    fill('id', userUUID ?? sub);
    fill('level', levelOnEntity ?? 0);
    queueMicrotask(() => fill('organisation', entityUUID ?? ''));
  };
  return html`<label class="field wide"
    >Token
    <textarea name="token" required rows="3" spellcheck="false" placeholder="eyJ…" .value=${edited?.token ?? ''} @input=${pasted}></textarea>
  </label>`;
}

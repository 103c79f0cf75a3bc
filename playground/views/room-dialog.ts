import { html, nothing } from 'lit';
import type { App } from '../app.ts';
import type { Pane } from '../pane.ts';
import { dialog } from './dialog.ts';
import { icon } from './icons.ts';

export function roomDialog(app: App, pane: Pane) {
  const person = pane.person!;
  const others = app.people.all.filter(({ id }) => id !== person.id);
  const organisation = app.people.organisation(person.organisation);
  const create = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const values = new FormData(form);
    const [name, kind] = [String(values.get('name')).trim(), values.get('kind')];
    const other = kind === 'user2user' ? String(values.get('with')) : undefined;
    const wanted = other
      ? { type: 'user2user' as const, with: other, name: name || `${person.name} & ${app.people.nameOf(other)}` }
      : { type: 'group' as const, name: name || 'A room', open_to_entity: values.get('kind') === 'open' };
    form.closest('dialog')!.close();
    await pane.createRoom(wanted);
  };
  const kind = (value: string, title: string, what: string, isFirst = false) => html`<label class="choice">
    <input type="radio" name="kind" value=${value} ?checked=${isFirst}>
    <span><b>${title}</b><small>${what}</small></span>
  </label>`;
  return dialog(
    `New room for ${person.name}`,
    () => app.open(undefined),
    html`<form class="stack" @submit=${create}>
      <label class="field">Name <input name="name" maxlength="255" autocomplete="off" autofocus placeholder="Launch day"></label>
      <fieldset class="choices-list">
        <legend>Kind</legend>
        ${kind('open', 'Group', organisation ? `Open to ${organisation.name} from level 100` : 'Others join by invitation', true)}
        ${organisation ? kind('closed', 'Closed group', 'Others join by invitation only') : nothing}
        ${others.length > 0 ? kind('user2user', 'Private', 'For two people of any organisations') : nothing}
      </fieldset>
      ${
        others.length > 0
          ? html`<label class="field with"
              >With
              <span class="select"
                ><select name="with">
                  ${others.map(({ id, name }) => html`<option value=${id}>${name}</option>`)}</select
                >${icon('down')}</span
              >
            </label>`
          : nothing
      }
      ${person.level < 100 ? html`<p class="hint">Creating rooms requires level 100; ${person.name} has ${person.level}. Try it to see how the server refuses.</p>` : nothing}
      <footer>
        <button class="button primary" type="submit">Create the room</button>
      </footer>
    </form>`,
  );
}

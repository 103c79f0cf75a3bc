import { html, nothing } from 'lit';
import { live } from 'lit/directives/live.js';
import type { App } from '../app.ts';
import { describeRights } from '../descriptions.ts';
import type { OpenRoom } from '../open-room.ts';
import type { Pane } from '../pane.ts';
import { isUuid } from '../uuid.ts';
import { icon } from './icons.ts';

export function inviteForm(app: App, pane: Pane, { id, members }: OpenRoom) {
  const isMember = (uuid: string) => members.some(({ entity_UUID }) => entity_UUID === uuid);
  const people = app.people.all.filter((one) => !isMember(one.id));
  const organisations = app.people.organisations.filter((one) => !isMember(one.id));
  const invite = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const { whom, uuid, may, level } = Object.fromEntries(new FormData(form)) as Record<string, string>;
    const other = (uuid ?? '').trim();
    const grantee = whom === 'other' ? (isUuid(other) ? other : undefined) : whom;
    if (!grantee) return;
    const kind = app.people.organisation(grantee) ? 'entity' : app.people.get(grantee) ? 'user' : 'any';
    const change = { permissions: may!, ...(level ? { level: Number(level) } : {}) };
    if (await pane.putMember(id, { entity_UUID: grantee, kind }, change)) form.reset();
  };
  return html`<form class="form invite" @submit=${invite} aria-label="Invite">
    <h4>Invite</h4>
    <label class="field grow"
      >User or organisation
      <span class="select"
        ><select name="whom" required>
          ${people.length > 0 ? html`<optgroup label="People">${people.map(({ id: value, name }, n) => html`<option value=${value} ?selected=${n === 0}>${name}</option>`)}</optgroup>` : nothing}
          ${organisations.length > 0 ? html`<optgroup label="Organisations">${organisations.map(({ id: value, name }, n) => html`<option value=${value} ?selected=${n === 0 && people.length === 0}>${name}</option>`)}</optgroup>` : nothing}
          <option value="other">By UUID</option></select
        >${icon('down')}</span
      >
    </label>
    <label class="field by-uuid"
      >UUID <input name="uuid" placeholder="of a user or an organisation" spellcheck="false" autocomplete="off">
    </label>
    <label class="field grow"
      >Rights
      <span class="select"
        ><select name="may">
          ${['rw', 'r', 'rwa'].map((value) => html`<option value=${value}>${describeRights(value).replace(' and ', ', ')}</option>`)}</select
        >${icon('down')}</span
      >
    </label>
    <label class="field short" title="The lowest level of the organisation’s members whom the rule admits">Level <input name="level" type="number" placeholder="0"> </label>
    <button class="button primary" type="submit">Invite</button>
  </form>`;
}

export function roomForm(pane: Pane, { id, room: { info } }: OpenRoom) {
  if (!info) return nothing;
  const save = (event: SubmitEvent) => {
    event.preventDefault();
    const { name, level_admin } = Object.fromEntries(new FormData(event.currentTarget as HTMLFormElement));
    void pane.changeRoom(id, { name: String(name), level_admin: Number(level_admin) });
  };
  return html`<form class="form" @submit=${save} aria-label="The room">
    <h4>The room</h4>
    <label class="field grow">Name <input name="name" required maxlength="255" .value=${live(info.name)}></label>
    <label class="field short" title="Members of the owning organisation administer the room from this level on"
      >Admin level <input name="level_admin" type="number" min="0" .value=${live(String(info.level_admin))}>
    </label>
    <button class="button" type="submit">Save</button>
  </form>`;
}

import { html, nothing } from 'lit';
import type { App } from '../app.ts';
import type { Pane } from '../pane.ts';
import type { Person } from '../people.ts';
import type { Visit } from '../visit.ts';
import { icon } from './icons.ts';
import { inviteForm, roomForm } from './member-forms.ts';
import { ruleRow } from './rule-row.ts';

export function membersView(app: App, pane: Pane, visit: Visit, person: Person) {
  const { room, members } = visit;
  const administers = room.rights.includes('a');
  const isIn = room.state === 'joined' || room.state === 'reconnecting';
  if (!isIn) return html`<div class="members empty"><p>Only members of the room can see this list.</p></div>`;
  return html`<div class="members" tabindex="-1">
    ${administers ? nothing : html`<p class="hint">Only administrators of this room can change its rules.</p>`}
    <ul class="rules">
      ${members.map((rule) => ruleRow(app, pane, visit, rule, administers))}
    </ul>
    ${administers && room.info?.type !== 'user2user' ? inviteForm(app, pane, visit) : nothing}
    ${administers ? roomForm(pane, visit) : nothing}
    <div class="leave">
      ${
        members.some(({ entity_UUID }) => entity_UUID === person.id)
          ? html`<button class="button small" type="button" @click=${() => pane.removeMember(visit.id, person.id)}>
              Leave the room
            </button>`
          : nothing
      }
      ${
        administers
          ? html`<button class="button small danger" type="button" @click=${() => pane.deleteRoom(visit.id)}>
              ${icon('trash')} Delete the room
            </button>`
          : nothing
      }
    </div>
  </div>`;
}

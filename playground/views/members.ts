import { html, nothing } from 'lit';
import type { App } from '../app.ts';
import type { OpenRoom } from '../open-room.ts';
import type { Pane } from '../pane.ts';
import type { Person } from '../people.ts';
import { icon } from './icons.ts';
import { inviteForm, roomForm } from './member-forms.ts';
import { ruleRow } from './rule-row.ts';

export function membersView(app: App, pane: Pane, openRoom: OpenRoom, person: Person) {
  const { room, members } = openRoom;
  const administers = room.rights.includes('a');
  const isIn = room.state === 'joined' || room.state === 'reconnecting';
  if (!isIn) return html`<div class="members empty"><p>Only members of the room can see this list.</p></div>`;
  return html`<div class="members" tabindex="-1">
    ${administers ? nothing : html`<p class="hint">Only administrators of this room can change its rules.</p>`}
    <ul class="rules">
      ${members.map((rule) => ruleRow(app, pane, openRoom, rule, administers))}
    </ul>
    ${administers && room.info?.type !== 'user2user' ? inviteForm(app, pane, openRoom) : nothing}
    ${administers ? roomForm(pane, openRoom) : nothing}
    <div class="leave">
      ${
        members.some(({ entity_UUID }) => entity_UUID === person.id)
          ? html`<button class="button small" type="button" @click=${() => pane.removeMember(openRoom.id, person.id)}>
              Leave the room
            </button>`
          : nothing
      }
      ${
        administers
          ? html`<button class="button small danger" type="button" @click=${() => pane.deleteRoom(openRoom.id)}>
              ${icon('trash')} Delete the room
            </button>`
          : nothing
      }
    </div>
  </div>`;
}

import { html, nothing } from 'lit';
import type { App } from '../app.ts';
import type { Pane } from '../pane.ts';
import { isBanned, type RoomListItem } from '../rules.ts';
import { icon } from './icons.ts';

export function roomsView(app: App, pane: Pane) {
  const { rooms } = pane;
  return html`<nav class="rooms" aria-label="${pane.person?.name}’s rooms">
    <div class="rooms-head">
      <h2>Rooms</h2>
      <button
        class="button quiet square small"
        type="button"
        aria-label="Reload the rooms"
        title="Reload the rooms"
        ?disabled=${pane.isOffline}
        @click=${() => pane.loadRooms()}
      >
        ${icon('refresh')}
      </button>
      <button
        class="button quiet square small"
        type="button"
        aria-label="New room"
        title="New room"
        ?disabled=${pane.isOffline}
        @click=${() => app.open({ name: 'room', pane })}
      >
        ${icon('add')}
      </button>
    </div>
    ${
      rooms === undefined
        ? html`<p class="hint">Loading…</p>`
        : rooms.length === 0
          ? html`<p class="hint">
              No rooms yet.
              <button class="link" type="button" @click=${() => app.open({ name: 'room', pane })}>Create a room</button>, or ask
              somebody to invite ${pane.person?.name}.
            </p>`
          : html`<ul>
              ${rooms.map((room) => roomRow(pane, room))}
            </ul>`
    }
  </nav>`;
}

function roomRow(pane: Pane, room: RoomListItem) {
  const unread = pane.unreadIn(room.id);
  const isInvited = isInvitation(room, pane.person?.id);
  return html`<li>
    <button
      class="room"
      type="button"
      aria-current=${pane.current === room.id ? 'true' : 'false'}
      @click=${() => pane.enter(room.id)}
    >
      ${icon(room.type === 'group' ? 'group' : 'lock')}
      <span class="room-name">${room.name}</span>
      ${unread > 0 ? html`<span class="count">${unread}<span class="unseen"> unread</span></span>` : nothing}
      <span class="role ${isBanned(room) ? 'bad' : ''}">${describeRole(room, isInvited)}</span>
    </button>
    ${
      isInvited
        ? html`<div class="answer">
            <button class="button small primary" type="button" @click=${() => pane.answerInvitation(room.id, true)}>Accept</button>
            <button class="button small" type="button" @click=${() => pane.answerInvitation(room.id, false)}>Decline</button>
          </div>`
        : nothing
    }
  </li>`;
}

/** The person's own rule, not accepted or declined yet. */
const isInvitation = (room: RoomListItem, me: string | undefined) =>
  room.entity_UUID === me && !room.accepted && !room.declined && !isBanned(room);

function describeRole(room: RoomListItem, isInvited: boolean): string {
  if (isBanned(room)) return 'banned';
  if (room.declined) return 'declined';
  if (isInvited) return 'invited';
  if (room.permissions.includes('a')) return 'administers';
  return room.permissions.includes('w') ? 'writes' : 'reads';
}

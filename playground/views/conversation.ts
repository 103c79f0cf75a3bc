import { html, nothing } from 'lit';
import { keyed } from 'lit/directives/keyed.js';
import type { ClientRoom } from 'nano-messaging-client';
import type { App } from '../app.ts';
import { describeError, describeRights, removals } from '../descriptions.ts';
import type { OpenRoom } from '../open-room.ts';
import type { Pane, Tab } from '../pane.ts';
import type { Person } from '../people.ts';
import { isBanned, type RoomListItem } from '../rules.ts';
import { codeView } from './code.ts';
import { composer } from './composer.ts';
import { icon } from './icons.ts';
import { liveLine, presenceOf } from './live-line.ts';
import { membersView } from './members.ts';
import './message-log.ts';

export function conversation(app: App, pane: Pane, person: Person) {
  const { openRoom } = pane;
  if (!openRoom) {
    return html`<div class="conversation empty">
      <p>${pane.rooms?.length === 0 ? 'Create a room to write messages.' : 'Choose a room.'}</p>
    </div>`;
  }
  const { room } = openRoom;
  return html`<div class="conversation">
    ${roomHead(pane, openRoom)}
    ${shown(app, pane, openRoom, person)}
    <p class="unseen" aria-live="polite">${latest(app, room, person)}</p>
  </div>`;
}

function shown(app: App, pane: Pane, openRoom: OpenRoom, person: Person) {
  if (pane.tab === 'members') return membersView(app, pane, openRoom, person);
  if (pane.tab === 'code') return keyed(openRoom.id, codeView(openRoom.id));
  return keyed(openRoom.id, chat(app, pane, openRoom, person));
}

function roomHead(pane: Pane, { id, room, members }: OpenRoom) {
  const info = room.info ?? pane.rooms?.find((item) => item.id === id);
  const tab = (name: Tab, label: string) => html`<button
    class="of-${name}"
    type="button"
    aria-pressed=${pane.tab === name ? 'true' : 'false'}
    @click=${() => pane.show(name)}
  >
    ${label}
  </button>`;
  return html`<header class="room-head">
    <button class="button quiet square small to-rooms" type="button" aria-label="Back to the rooms" @click=${() => pane.leaveView()}>
      ${icon('back')}
    </button>
    <div class="room-title">
      <h3>${info?.name ?? `Room ${id}`}</h3>
      <p>${mute(pane, id, room)}${info ? (info.type === 'group' ? 'Group' : 'Private') : 'Room'} · ${rights(room)}${presenceOf(room)}</p>
    </div>
    <div class="segments" role="group" aria-label="What to see of the room">
      ${tab('chat', 'Chat')} ${tab('members', members.length > 0 ? `Members ${members.length}` : 'Members')} ${tab('code', 'Code')}
    </div>
  </header>`;
}

function mute(pane: Pane, id: number, room: ClientRoom) {
  const muted = pane.isMuted(id);
  if (muted === undefined) return nothing;
  const label = muted ? 'Unmute' : 'Mute';
  return html`<button class="link" type="button" @click=${() => room.setPersonal({ muted: !muted })}>${label}</button> · `;
}

function rights({ state, rights: letters }: ClientRoom) {
  if (state === 'removed') return html`<span class="tag bad">removed</span>`;
  if (state === 'rejected') return html`<span class="tag bad">no access</span>`;
  if (state === 'joining') return 'joining…';
  return html`you may <b title=${letters}>${describeRights(letters)}</b>`;
}

function chat(app: App, pane: Pane, openRoom: OpenRoom, person: Person) {
  const { id, room, thread } = openRoom;
  const listed = pane.rooms?.find((item) => item.id === id);
  return html`
    ${
      thread
        ? html`<p class="draft">
            <span>Thread</span>
            <button class="link" type="button" @click=${() => openRoom.openThread(undefined)}>Back to the room</button>
          </p>`
        : nothing
    }
    ${keyed(thread?.seq, log(app, openRoom, person))} ${outside(room, listed)} ${liveLine(room, thread?.seq, app.people, person.id)}
    ${composer(openRoom, person)}
  `;
}

/** The messages of the room, or of the open thread with its root. */
function log(app: App, { room, notes, thread, actions }: OpenRoom, person: Person) {
  const outbox = room.outbox.filter(({ options }) => options.thread === thread?.seq);
  return html`<message-log
    role="log"
    aria-live="off"
    aria-label="Messages"
    tabindex="0"
    .messages=${thread ? [...(thread.root ? [thread.root] : []), ...thread.messages] : room.messages}
    .outbox=${outbox}
    .notes=${thread ? [] : notes}
    .people=${app.people}
    .cast=${app.people.all}
    .me=${person.id}
    .actions=${actions}
    .hasOlder=${(thread ?? room).hasOlder}
    .hasNewer=${(thread ?? room).hasNewer}
    .isKnown=${room.info !== undefined}
    .loadOlder=${() => (thread ?? room).loadOlder(50)}
    .loadNewer=${() => (thread ?? room).loadNewer()}
  ></message-log>`;
}

/** Why the person is no longer in the room, or that they can join again. */
function outside(room: ClientRoom, listed: RoomListItem | undefined) {
  if (room.state !== 'removed' && room.state !== 'rejected') return nothing;
  const rejoin = (label: string, tone = '') =>
    html`<button class="button small ${tone}" type="button" @click=${() => room.rejoin()}>${label}</button>`;
  if (listed && !isBanned(listed) && !listed.declined) {
    return html`<div class="outside good" role="alert">
      ${icon('check')}
      <div>
        <strong>You can join again</strong>
        <p>Join to receive what you missed.</p>
      </div>
      ${rejoin('Join again', 'primary')}
    </div>`;
  }
  // Somebody banned while offline has no removal event: the refused join shows the ban.
  const removal = room.removalReason ?? (room.error?.code === 'BANNED' ? 'BANNED' : undefined);
  const why = removal ? removals[removal] : { title: 'You cannot join this room', what: describeError(room.error) };
  return html`<div class="outside" role="alert">
    ${icon('ban')}
    <div>
      <strong>${why.title}</strong>
      <p>${why.what}</p>
    </div>
    ${removal === 'ROOM_DELETED' ? nothing : rejoin('Join again')}
  </div>`;
}

/** For screen readers: the latest message of another person. */
function latest(app: App, { messages }: ClientRoom, person: Person): string {
  const last = messages.at(-1);
  return last && last.emitter !== person.id ? `${app.people.nameOf(last.emitter)}: ${last.content}` : '';
}

import { html, nothing } from 'lit';
import { guard } from 'lit/directives/guard.js';
import type { Message, Outgoing } from 'nano-messaging-client';
import { describeError, formatDay, formatTime } from '../descriptions.ts';
import type { Note } from '../open-room.ts';
import type { People } from '../people.ts';
import { avatar } from './avatar.ts';
import { icon } from './icons.ts';
import { actionsOf, type MessageActions, reactionsOf, repliesOf } from './message-actions.ts';
import type { RowWindow } from './row-window.ts';

interface Conversation {
  messages: readonly Message[];
  outbox: readonly Outgoing[];
  notes: readonly Note[];
  people: People;
  me: string;
  actions: MessageActions;
}

interface Row {
  key: unknown;
  row: unknown;
}

/** Messages of the same person within this time are grouped. */
const groupingMs = 5 * 60_000;

/** Messages with days and notes between them, and the unsent messages at the end. */
export function messageRows(
  { messages: all, outbox, notes, people, me, actions }: Conversation,
  window: RowWindow,
): Row[] {
  const rows: Row[] = [];
  const messages = window.of(all);
  const [isAtBeginning, isAtEnd] = [window.isAtBeginning(all), window.isAtEnd(all)];
  const waiting = isAtBeginning ? [...notes] : notes.filter(({ after }) => after >= messages[0]!.seq);
  let before: Message | undefined;
  let day = '';
  const notesUpTo = (seq: number) => {
    while (waiting[0] && waiting[0].after < seq) {
      rows.push(noteRow(waiting.shift()!));
      before = undefined;
    }
  };
  for (const message of messages) {
    notesUpTo(message.seq);
    const today = formatDay(message.createdAt);
    if (today !== day) {
      rows.push({ key: today, row: html`<li class="day"><span>${today}</span></li>` });
      before = undefined;
    }
    day = today;
    rows.push(messageRow(message, before, people, me, actions));
    before = message;
  }
  if (!isAtEnd) return rows;
  notesUpTo(Number.POSITIVE_INFINITY);
  const stored = outbox.length === 0 ? new Set() : new Set(messages.map(({ client_msg_id }) => client_msg_id));
  for (const one of outbox) if (!stored.has(one.client_msg_id)) rows.push(outgoingRow(one, people, me));
  return rows;
}

/** The key stays the same when a message is stored, so its row stays in place. */
const toKey = (emitter: string, id: string) => `${emitter} ${id}`;

function noteRow({ rev, text }: Note): Row {
  const row = html`<li class="note"><span>${text}</span> <span class="rev">rev ${rev}</span></li>`;
  return { key: `note ${rev}`, row };
}

function messageRow(
  message: Message,
  before: Message | undefined,
  people: People,
  me: string,
  actions: MessageActions,
): Row {
  const { emitter, content, createdAt, seq, client_msg_id, deletedAt, editedAt, pending, reply_to } = message;
  const isOwn = emitter === me;
  const isGrouped = before?.emitter === emitter && Date.parse(createdAt) - Date.parse(before.createdAt) < groupingMs;
  const name = people.nameOf(emitter);
  const isNamed = !isOwn && !isGrouped;
  const hue = people.get(emitter)?.hue;
  // A changed message is another object.
  const row = guard(
    [message, isGrouped, name, hue, isOwn, actions],
    () => html`<li class="message ${isOwn ? 'own' : ''} ${isGrouped ? 'same' : ''}">
    ${isNamed ? avatar(people, emitter) : html`<span class="avatar-space"></span>`}
    <div class="bubble ${isOwn ? `hue-${hue ?? 0}` : ''}">
      ${isNamed ? html`<span class="who">${name}</span>` : html`<span class="unseen">${name}:</span>`}
      ${reply_to === null ? nothing : html`<span class="quote">in reply to #${reply_to}</span>`}
      <span class="text ${deletedAt ? 'deleted' : ''}" dir="auto">${deletedAt ? 'This message was deleted' : content}</span>
      ${repliesOf(message, actions)}
      <span class="meta"
        >${editedAt ? 'edited ' : nothing}<time datetime=${createdAt} title=${`seq ${seq}`}>${formatTime(createdAt)}</time>${
          isOwn
            ? html`${icon(pending ? 'clock' : 'check')}<span class="unseen">${pending ? 'changing' : 'sent'}</span>`
            : nothing
        }</span
      >
      ${reactionsOf(message, actions)}
    </div>
    ${actionsOf(message, isOwn, actions)}
  </li>`,
  );
  return { key: client_msg_id ? toKey(emitter, client_msg_id) : seq, row };
}

function outgoingRow(one: Outgoing, people: People, me: string): Row {
  const hasFailed = one.state === 'failed';
  const failure = html`<p class="failure">
    Not sent. ${describeError(one.error)}
    <button class="link" type="button" @click=${() => one.retry()}>Retry</button>
    <button class="link" type="button" @click=${() => one.discard()}>Discard</button>
  </p>`;
  const row = html`<li class="message own ${hasFailed ? 'failed' : 'pending'}">
    <span class="avatar-space"></span>
    <div class="bubble hue-${people.get(me)?.hue ?? 0}">
      <span class="text" dir="auto">${one.content}</span>
      <span class="meta"
        ><time>${formatTime(new Date().toISOString())}</time>${icon(hasFailed ? 'warning' : 'clock')}<span class="unseen"
          >${hasFailed ? 'not sent' : 'sending'}</span
        ></span
      >
    </div>
    ${hasFailed ? failure : nothing}
  </li>`;
  return { key: toKey(me, one.client_msg_id), row };
}

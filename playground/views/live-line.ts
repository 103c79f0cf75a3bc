import { html, nothing } from 'lit';
import type { ClientRoom } from 'nano-messaging/client';
import type { People } from '../people.ts';

/** Who has read the person's last message, and who is typing. */
export function liveLine(room: ClientRoom, people: People, me: string) {
  const last = room.messages.at(-1);
  const readers =
    last?.emitter === me ? room.reads.filter(({ user, read_seq }) => user !== me && read_seq >= last.seq) : [];
  const names = (users: { user: string }[]) => users.map(({ user }) => people.nameOf(user)).join(', ');
  const typing = room.typing.length > 0 ? `${names([...room.typing])} typing…` : '';
  const read = readers.length > 0 ? `Read by ${names(readers)}` : '';
  return html`<p class="live-line">${[typing, read].filter(Boolean).join(' · ') || nothing}</p>`;
}

export function presenceOf({ presence }: ClientRoom): string {
  return presence ? ` · ${presence.count} here` : '';
}

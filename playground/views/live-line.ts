import { html, nothing } from 'lit';
import type { ClientRoom } from 'nano-messaging-client';
import type { People } from '../people.ts';

/** Who has read the person's last message, and who is typing in the room or in the open thread. */
export function liveLine(room: ClientRoom, thread: number | undefined, people: People, me: string) {
  const last = room.messages.at(-1);
  const readers =
    last?.emitter === me ? room.reads.filter(({ user, read_seq }) => user !== me && read_seq >= last.seq) : [];
  const names = (users: { user: string }[]) => users.map(({ user }) => people.nameOf(user)).join(', ');
  const typists = room.typing.filter((typist) => typist.thread === thread);
  const typing = typists.length > 0 ? `${names(typists)} typing…` : '';
  const read = readers.length > 0 ? `Read by ${names(readers)}` : '';
  return html`<p class="live-line">${[typing, read].filter(Boolean).join(' · ') || nothing}</p>`;
}

export function presenceOf({ presence }: ClientRoom): string {
  return presence ? ` · ${presence.count} here` : '';
}

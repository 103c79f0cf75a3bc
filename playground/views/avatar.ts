import { html } from 'lit';
import type { People } from '../people.ts';

const initials = (name: string) =>
  name
    .split(/\s+/)
    .map((word) => [...word][0] ?? '')
    .slice(0, 2)
    .join('')
    .toUpperCase();

/** A person has their colour, an organisation is square, and an unknown id is grey. */
export function avatar(people: People, id: string) {
  const person = people.get(id);
  const organisation = person ? undefined : people.organisation(id);
  const kind = person ? `hue-${person.hue}` : organisation ? 'square' : 'stranger';
  return html`<span class="avatar ${kind}" aria-hidden="true">${initials(person?.name ?? organisation?.name ?? '?')}</span>`;
}

import { Changing } from './changing.ts';
import { keep, recall } from './kept.ts';

export interface Organisation {
  id: string;
  name: string;
}

export interface Person {
  id: string;
  name: string;
  /** The id of an organisation; undefined: of none. */
  organisation: string | undefined;
  level: number;
  /** Which of the colours is his. */
  hue: number;
  /** Where this server makes no tokens: one of the product's own backend. */
  token?: string;
}

export const hues = 8;

/** The cast: kept in this browser, unknown to the service until one of them brings a token. */
export class People extends Changing {
  #people = recall<Person[]>('people', []);
  #organisations = recall<Organisation[]>('organisations', []);

  get all(): readonly Person[] {
    return this.#people;
  }

  get organisations(): readonly Organisation[] {
    return this.#organisations;
  }

  get(id: string | undefined): Person | undefined {
    return this.#people.find((person) => person.id === id);
  }

  organisation(id: string | undefined): Organisation | undefined {
    return this.#organisations.find((organisation) => organisation.id === id);
  }

  /** Whoever it is, in as few words as there are. */
  nameOf(id: string): string {
    return (this.get(id) ?? this.organisation(id))?.name ?? `${id.slice(0, 8)}…`;
  }

  put(person: Omit<Person, 'hue'>): Person {
    const known = this.get(person.id);
    const whole = { ...person, hue: known?.hue ?? this.#freeHue() };
    this.#people = known
      ? this.#people.map((other) => (other.id === person.id ? whole : other))
      : [...this.#people, whole];
    this.#keep();
    return whole;
  }

  putOrganisation(organisation: Organisation): Organisation {
    this.#organisations = [...this.#organisations.filter(({ id }) => id !== organisation.id), organisation];
    this.#keep();
    return organisation;
  }

  remove(id: string): void {
    this.#people = this.#people.filter((person) => person.id !== id);
    this.#keep();
  }

  /** Its people stay, in none. */
  removeOrganisation(id: string): void {
    this.#organisations = this.#organisations.filter((organisation) => organisation.id !== id);
    this.#people = this.#people.map((person) =>
      person.organisation === id ? { ...person, organisation: undefined } : person,
    );
    this.#keep();
  }

  #freeHue(): number {
    const taken = new Set(this.#people.map(({ hue }) => hue));
    for (let hue = 0; hue < hues; hue++) if (!taken.has(hue)) return hue;
    return this.#people.length % hues;
  }

  #keep(): void {
    keep('people', this.#people);
    keep('organisations', this.#organisations);
    this.changed();
  }
}

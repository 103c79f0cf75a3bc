import { Observable } from './observable.ts';
import { load, save } from './storage.ts';

export interface Organisation {
  id: string;
  name: string;
}

export interface Person {
  id: string;
  name: string;
  /** The id of an organisation; undefined if the person belongs to none. */
  organisation: string | undefined;
  level: number;
  /** Index of the person's colour. */
  hue: number;
  /** A token of the product's backend, if this server issues none. */
  token?: string;
}

export const hues = 8;

/** People and organisations, stored in this browser. The service learns of them only from their tokens. */
export class People extends Observable {
  #people = load<Person[]>('people', []);
  #organisations = load<Organisation[]>('organisations', []);

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

  /** A name, or the start of the UUID if it is unknown. */
  nameOf(id: string): string {
    return (this.get(id) ?? this.organisation(id))?.name ?? `${id.slice(0, 8)}…`;
  }

  put(person: Omit<Person, 'hue'>): Person {
    const known = this.get(person.id);
    const whole = { ...person, hue: known?.hue ?? this.#freeHue() };
    this.#people = known
      ? this.#people.map((other) => (other.id === person.id ? whole : other))
      : [...this.#people, whole];
    this.#save();
    return whole;
  }

  putOrganisation(organisation: Organisation): Organisation {
    this.#organisations = [...this.#organisations.filter(({ id }) => id !== organisation.id), organisation];
    this.#save();
    return organisation;
  }

  remove(id: string): void {
    this.#people = this.#people.filter((person) => person.id !== id);
    this.#save();
  }

  /** Its people stay, without an organisation. */
  removeOrganisation(id: string): void {
    this.#organisations = this.#organisations.filter((organisation) => organisation.id !== id);
    this.#people = this.#people.map((person) =>
      person.organisation === id ? { ...person, organisation: undefined } : person,
    );
    this.#save();
  }

  #freeHue(): number {
    const taken = new Set(this.#people.map(({ hue }) => hue));
    for (let hue = 0; hue < hues; hue++) if (!taken.has(hue)) return hue;
    return this.#people.length % hues;
  }

  #save(): void {
    save('people', this.#people);
    save('organisations', this.#organisations);
    this.changed();
  }
}

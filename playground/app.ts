import { Changing } from './changing.ts';
import { Frames, type Line } from './frames.ts';
import { keep, recall } from './kept.ts';
import { Pane } from './pane.ts';
import { People, type Person } from './people.ts';
import { RawChat } from './raw-chat.ts';

export type Place = 'left' | 'right' | 'console';
export type Dialog = { name: 'people'; edit?: string | undefined } | { name: 'room'; pane: Pane } | undefined;
type Seats = Record<'left' | 'right', { person?: string | undefined; room?: number | undefined }>;

const refreshAfterMs = 150;

/** The state of the page. A watcher renders the whole page after each change. */
export class App extends Changing {
  readonly people = new People();
  readonly frames = new Frames();
  readonly raw = new RawChat(this.frames);
  readonly panes: Record<'left' | 'right', Pane>;
  dialog: Dialog;
  /** The part that a narrow screen shows. */
  place: Place = 'left';
  isConsoleOpen = recall('console', true);
  areHintsShown = recall('hints', true);
  theme: 'light' | 'dark' = recall('theme', undefined) ?? preferredTheme();
  /** Transports whose frames the console hides. */
  readonly hiddenLines = new Set<Line>();
  isBusy = false;
  #refreshing: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    super();
    const around = { people: this.people, frames: this.frames, acted: () => this.refresh() };
    this.panes = { left: new Pane('Left', around), right: new Pane('Right', around) };
    for (const part of [this.frames, this.raw, ...this.bothPanes]) part.watch(() => this.changed());
    this.people.watch(() => this.#peopleChanged());
    this.#applyTheme();
    this.#restoreSeats();
    for (const pane of this.bothPanes) pane.watch(() => this.#keepSeats());
  }

  get bothPanes(): Pane[] {
    return [this.panes.left, this.panes.right];
  }

  /** Debounced: several changes in a row load the rooms once. */
  refresh(): void {
    clearTimeout(this.#refreshing);
    this.#refreshing = setTimeout(() => {
      for (const pane of this.bothPanes) void pane.loadRooms({ isSilent: true });
    }, refreshAfterMs);
  }

  open(dialog: Dialog): void {
    this.dialog = dialog;
    this.changed();
  }

  show(place: Place): void {
    this.place = place;
    this.changed();
  }

  toggleConsole(): void {
    this.isConsoleOpen = !this.isConsoleOpen;
    keep('console', this.isConsoleOpen);
    this.changed();
  }

  toggleLine(line: Line): void {
    if (!this.hiddenLines.delete(line)) this.hiddenLines.add(line);
    this.changed();
  }

  dismissHints(): void {
    this.areHintsShown = false;
    keep('hints', false);
    this.changed();
  }

  showHints(): void {
    this.areHintsShown = true;
    keep('hints', true);
    this.changed();
  }

  toggleTheme(): void {
    this.theme = this.theme === 'light' ? 'dark' : 'light';
    keep('theme', this.theme);
    this.#applyTheme();
    this.changed();
  }

  async whileBusy(what: () => Promise<unknown>): Promise<void> {
    this.isBusy = true;
    this.changed();
    await what().finally(() => {
      this.isBusy = false;
      this.changed();
    });
  }

  #applyTheme(): void {
    document.documentElement.dataset.theme = this.theme;
  }

  /** A changed person reconnects with a new token; a removed person leaves their pane. */
  #peopleChanged(): void {
    for (const pane of this.bothPanes) {
      const { person } = pane;
      if (!person) continue;
      const now = this.people.get(person.id);
      if (!now || isAnother(person, now)) pane.seat(now);
      else pane.person = now;
    }
    this.changed();
  }

  #restoreSeats(): void {
    const seats = recall<Seats>('seats', { left: {}, right: {} });
    for (const side of ['left', 'right'] as const) {
      const { person, room } = seats[side] ?? {};
      const found = this.people.get(person);
      if (!found) continue;
      this.panes[side].seat(found);
      if (room !== undefined) this.panes[side].enter(room);
    }
  }

  #keepSeats(): void {
    const seat = ({ person, current }: Pane) => ({ person: person?.id, room: current });
    keep('seats', { left: seat(this.panes.left), right: seat(this.panes.right) });
  }
}

/** Compares what the service learns from a token. */
const isAnother = (a: Person, b: Person) =>
  a.organisation !== b.organisation || a.level !== b.level || a.token !== b.token;

function preferredTheme(): 'light' | 'dark' {
  return matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
}

import { Frames, type Transport } from './frames.ts';
import { Observable } from './observable.ts';
import { Pane } from './pane.ts';
import { People, type Person } from './people.ts';
import { RawChat } from './raw-chat.ts';
import { load, save } from './storage.ts';

export type View = 'left' | 'right' | 'console';
export type Dialog = { name: 'people'; edit?: string | undefined } | { name: 'room'; pane: Pane } | undefined;
type SavedPanes = Record<'left' | 'right', { person?: string | undefined; room?: number | undefined }>;

const refreshAfterMs = 150;

/** The state of the page. A watcher renders the whole page after each change. */
export class App extends Observable {
  readonly people = new People();
  readonly frames = new Frames();
  readonly raw = new RawChat(this.frames);
  readonly panes: Record<'left' | 'right', Pane>;
  dialog: Dialog;
  /** The part that a narrow screen shows. */
  view: View = 'left';
  isConsoleOpen = load('console', true);
  areHintsShown = load('hints', true);
  theme: 'light' | 'dark' = load('theme', undefined) ?? preferredTheme();
  /** Transports whose frames the console hides. */
  readonly hiddenTransports = new Set<Transport>();
  isBusy = false;
  #refreshing: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    super();
    const context = { people: this.people, frames: this.frames, onActed: () => this.refresh() };
    this.panes = { left: new Pane('Left', context), right: new Pane('Right', context) };
    for (const part of [this.frames, this.raw, ...this.bothPanes]) part.watch(() => this.changed());
    this.people.watch(() => this.#peopleChanged());
    this.#applyTheme();
    this.#restorePanes();
    for (const pane of this.bothPanes) pane.watch(() => this.#savePanes());
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

  show(view: View): void {
    this.view = view;
    this.changed();
  }

  toggleConsole(): void {
    this.isConsoleOpen = !this.isConsoleOpen;
    save('console', this.isConsoleOpen);
    this.changed();
  }

  toggleTransport(transport: Transport): void {
    if (!this.hiddenTransports.delete(transport)) this.hiddenTransports.add(transport);
    this.changed();
  }

  dismissHints(): void {
    this.areHintsShown = false;
    save('hints', false);
    this.changed();
  }

  showHints(): void {
    this.areHintsShown = true;
    save('hints', true);
    this.changed();
  }

  toggleTheme(): void {
    this.theme = this.theme === 'light' ? 'dark' : 'light';
    save('theme', this.theme);
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
      if (!now || isAnother(person, now)) pane.setPerson(now);
      else pane.person = now;
    }
    this.changed();
  }

  #restorePanes(): void {
    const saved = load<SavedPanes>('seats', { left: {}, right: {} });
    for (const side of ['left', 'right'] as const) {
      const { person, room } = saved[side] ?? {};
      const found = this.people.get(person);
      if (!found) continue;
      this.panes[side].setPerson(found);
      if (room !== undefined) this.panes[side].enter(room);
    }
  }

  #savePanes(): void {
    const toSaved = ({ person, current }: Pane) => ({ person: person?.id, room: current });
    save('seats', { left: toSaved(this.panes.left), right: toSaved(this.panes.right) });
  }
}

/** Compares what the service learns from a token. */
const isAnother = (a: Person, b: Person) =>
  a.organisation !== b.organisation || a.level !== b.level || a.token !== b.token;

function preferredTheme(): 'light' | 'dark' {
  return matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
}

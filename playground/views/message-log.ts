import { html, LitElement, nothing, type PropertyValues } from 'lit';
import { repeat } from 'lit/directives/repeat.js';
import type { Message, Outgoing } from 'nano-messaging/client';
import type { People } from '../people.ts';
import type { Note } from '../visit.ts';
import { icon } from './icons.ts';
import { messageRows } from './message-rows.ts';
import { RowWindow } from './row-window.ts';

/** Closer to the end than this, it follows what is said. */
const nearEnd = 48;
/** Closer to an end of what is rendered than this, it renders or loads more. */
const nearMore = 200;

/** The conversation: follows its end, and grows at its beginning without moving what is being read. */
class MessageLog extends LitElement {
  static override properties = {
    messages: { attribute: false },
    outbox: { attribute: false },
    standing: { attribute: false },
    notes: { attribute: false },
    people: { attribute: false },
    cast: { attribute: false },
    hasOlder: { attribute: false },
    isKnown: { attribute: false },
  };

  declare messages: readonly Message[];
  declare outbox: readonly Outgoing[];
  /** Of what is in the outbox, which stays the same when a message in it fails. */
  declare standing: string;
  declare notes: readonly Note[];
  declare people: People;
  /** Who there is; another array when somebody is called something else. */
  declare cast: unknown;
  declare hasOlder: boolean;
  /** Whether the room has been joined, so that an empty one is empty. */
  declare isKnown: boolean;
  declare me: string;
  declare loadOlder: () => Promise<unknown>;
  #follows = true;
  #unseen = 0;
  #waiting = 0;
  #loading: 'no' | 'yes' | 'failed' = 'no';
  readonly #window = new RowWindow();
  /** A row that is being read, and where it was. */
  #anchor: { row: HTMLElement; top: number } | undefined;
  readonly #resized = new ResizeObserver(() => this.#follow());

  constructor() {
    super();
    this.messages = this.outbox = this.notes = [];
    this.hasOlder = this.isKnown = false;
    this.me = '';
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.addEventListener('scroll', this.#scrolled, { passive: true });
    this.#resized.observe(this);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#resized.disconnect();
  }

  protected override createRenderRoot() {
    return this;
  }

  protected override willUpdate(changes: PropertyValues<this>): void {
    this.#anchor = this.#follows ? undefined : this.#rowInSight();
    const [before, now] = [changes.get('messages'), this.messages];
    // What one says oneself one wants to see.
    if (this.outbox.length > this.#waiting) this.#follows = true;
    if (this.#follows) this.#window.reset();
    else this.#window.hold(before ?? now);
    this.#waiting = this.outbox.length;
    if (before && !this.#follows) {
      const last = before.at(-1)?.seq ?? 0;
      this.#unseen += now.filter(({ seq, emitter }) => seq > last && emitter !== this.me).length;
    }
  }

  protected override updated(): void {
    if (this.#follows) this.#follow();
    else if (this.#anchor?.row.isConnected) this.scrollTop += this.#anchor.row.offsetTop - this.#anchor.top;
    if (this.scrollHeight <= this.clientHeight) this.#showEarlier();
  }

  /** Near the middle of what is seen, so that it stays rendered at whichever end rows come and go. */
  #rowInSight(): { row: HTMLElement; top: number } | undefined {
    const middle = this.scrollTop + this.clientHeight / 2;
    const rows = this.querySelectorAll<HTMLElement>('.message');
    const row = [...rows].find(({ offsetTop, offsetHeight }) => offsetTop + offsetHeight >= middle) ?? rows[0];
    return row && { row, top: row.offsetTop };
  }

  #follow(): void {
    if (this.#follows) this.scrollTop = this.scrollHeight;
  }

  readonly #scrolled = () => {
    const below = this.scrollHeight - this.scrollTop - this.clientHeight;
    const follows = below < nearEnd && this.#window.isAtEnd(this.messages);
    if (follows !== this.#follows || (follows && this.#unseen > 0)) {
      // What is rendered stays until it follows again.
      if (!follows) this.#window.hold(this.messages);
      this.#follows = follows;
      if (follows) this.#unseen = 0;
      this.requestUpdate();
    }
    if (this.scrollTop < nearMore) this.#showEarlier();
    else if (below < nearMore && this.#window.showLater(this.messages)) this.requestUpdate();
  };

  /** From what the client has; otherwise from the server. */
  #showEarlier(): void {
    if (!this.#follows && this.#window.showEarlier(this.messages)) this.requestUpdate();
    else if (this.#window.isAtBeginning(this.messages) && this.hasOlder && this.#loading === 'no') void this.#load();
  }

  async #load(): Promise<void> {
    this.#loading = 'yes';
    this.requestUpdate();
    try {
      await this.loadOlder();
      this.#loading = 'no';
      // The client may have given the page before this returned; near the beginning it is to be seen.
      if (this.scrollTop < nearMore && !this.#follows) this.#window.showEarlier(this.messages);
    } catch {
      this.#loading = 'failed';
    }
    this.requestUpdate();
  }

  readonly #toEnd = () => {
    this.#follows = true;
    this.#unseen = 0;
    this.requestUpdate();
  };

  protected override render() {
    return html`
      <div class="log-top">${this.#beginning()}</div>
      <ol class="messages">
        ${repeat(
          messageRows(this, this.#window),
          ({ key }) => key,
          ({ row }) => row,
        )}
      </ol>
      ${
        this.#follows
          ? nothing
          : html`<button class="to-end" type="button" @click=${this.#toEnd}>
              ${icon('down')} ${this.#unseen > 0 ? `${this.#unseen} new` : 'Latest'}
            </button>`
      }
    `;
  }

  #beginning() {
    if (this.#loading === 'failed') {
      return html`<span>Earlier messages could not be loaded.</span>
        <button class="link" type="button" @click=${() => this.#load()}>Try again</button>`;
    }
    if (this.hasOlder || !this.#window.isAtBeginning(this.messages))
      return html`<span>${this.#loading === 'yes' ? 'Loading earlier messages…' : 'Scroll up for more'}</span>`;
    if (!this.isKnown) return nothing;
    if (this.messages.length === 0 && this.outbox.length === 0) {
      return html`<span>Nothing has been said here yet. Write the first message below.</span>`;
    }
    return html`<span>This is where the room begins</span>`;
  }
}

customElements.define('message-log', MessageLog);

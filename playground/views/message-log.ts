import { html, LitElement, nothing, type PropertyValues } from 'lit';
import { repeat } from 'lit/directives/repeat.js';
import type { Message, Outgoing } from 'nano-messaging/client';
import type { People } from '../people.ts';
import type { Note } from '../visit.ts';
import { icon } from './icons.ts';
import { messageRows } from './message-rows.ts';

/** Closer to the end than this, it follows what is said. */
const nearEnd = 48;
/** Closer to the beginning than this, it loads what was said before. */
const nearBeginning = 200;

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
  #before = { height: 0, top: 0 };
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
    this.#before = { height: this.scrollHeight, top: this.scrollTop };
    const [before, now] = [changes.get('messages'), this.messages];
    // What one says oneself one wants to see.
    if (this.outbox.length > this.#waiting) this.#follows = true;
    this.#waiting = this.outbox.length;
    if (before && !this.#follows) {
      const last = before.at(-1)?.seq ?? 0;
      this.#unseen += now.filter(({ seq, emitter }) => seq > last && emitter !== this.me).length;
    }
  }

  protected override updated(changes: PropertyValues<this>): void {
    const before = changes.get('messages')?.[0]?.seq;
    const first = this.messages[0]?.seq;
    if (this.#follows) this.#follow();
    else if (before !== undefined && first !== undefined && first < before) {
      this.scrollTop = this.#before.top + this.scrollHeight - this.#before.height;
    }
    if (this.scrollHeight <= this.clientHeight) this.#loadMore();
  }

  #follow(): void {
    if (this.#follows) this.scrollTop = this.scrollHeight;
  }

  readonly #scrolled = () => {
    const follows = this.scrollHeight - this.scrollTop - this.clientHeight < nearEnd;
    if (follows !== this.#follows || (follows && this.#unseen > 0)) {
      this.#follows = follows;
      if (follows) this.#unseen = 0;
      this.requestUpdate();
    }
    if (this.scrollTop < nearBeginning) this.#loadMore();
  };

  #loadMore(): void {
    if (this.hasOlder && this.#loading === 'no') void this.#load();
  }

  async #load(): Promise<void> {
    this.#loading = 'yes';
    this.requestUpdate();
    try {
      await this.loadOlder();
      this.#loading = 'no';
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
          messageRows(this),
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
    if (this.hasOlder)
      return html`<span>${this.#loading === 'yes' ? 'Loading earlier messages…' : 'Scroll up for more'}</span>`;
    if (!this.isKnown) return nothing;
    if (this.messages.length === 0 && this.outbox.length === 0) {
      return html`<span>Nothing has been said here yet. Write the first message below.</span>`;
    }
    return html`<span>This is where the room begins</span>`;
  }
}

customElements.define('message-log', MessageLog);

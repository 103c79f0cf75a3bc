import { html, LitElement, nothing, type PropertyValues } from 'lit';
import { repeat } from 'lit/directives/repeat.js';
import type { Message, Outgoing } from 'nano-messaging-client';
import type { Note } from '../open-room.ts';
import type { People } from '../people.ts';
import { icon } from './icons.ts';
import type { MessageActions } from './message-actions.ts';
import { messageRows } from './message-rows.ts';
import { RowWindow } from './row-window.ts';

/** Closer to the end than this (in pixels), the view follows new messages. */
const nearEnd = 48;
/** Closer to an end of the rendered rows than this (in pixels), the view renders or loads more. */
const nearMore = 200;

/** Follows the end of the conversation, and adds older messages without moving the row that is being read. */
class MessageLog extends LitElement {
  static override properties = {
    messages: { attribute: false },
    outbox: { attribute: false },
    notes: { attribute: false },
    people: { attribute: false },
    cast: { attribute: false },
    actions: { attribute: false },
    hasOlder: { attribute: false },
    hasNewer: { attribute: false },
    isKnown: { attribute: false },
  };

  declare messages: readonly Message[];
  declare outbox: readonly Outgoing[];
  declare notes: readonly Note[];
  declare people: People;
  /** A new array whenever a name changes, so that the view renders again. */
  declare cast: unknown;
  declare actions: MessageActions;
  declare hasOlder: boolean;
  /** Whether the client has dropped the newest messages to make room for earlier ones. */
  declare hasNewer: boolean;
  /** Whether the room has been joined; only then does no message mean an empty room. */
  declare isKnown: boolean;
  declare me: string;
  declare loadOlder: () => Promise<unknown>;
  declare loadNewer: () => Promise<readonly unknown[]>;
  #follows = true;
  #unseen = 0;
  #waiting = 0;
  #loading: 'no' | 'yes' | 'failed' = 'no';
  readonly #window = new RowWindow();
  /** The row that is being read, and its position before the update. */
  #anchor: { row: HTMLElement; top: number } | undefined;
  readonly #resized = new ResizeObserver(() => this.#follow());

  constructor() {
    super();
    this.messages = this.outbox = this.notes = [];
    this.hasOlder = this.hasNewer = this.isKnown = false;
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
    // Users want to see the message that they just sent.
    if (this.outbox.length > this.#waiting) this.#toEnd();
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

  /** In the middle of the view, so that it stays rendered when rows are added or removed at either end. */
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
    const follows = below < nearEnd && !this.hasNewer && this.#window.isAtEnd(this.messages);
    if (follows !== this.#follows || (follows && this.#unseen > 0)) {
      // The rendered rows stay until the view follows again.
      if (!follows) this.#window.hold(this.messages);
      this.#follows = follows;
      if (follows) this.#unseen = 0;
      this.requestUpdate();
    }
    if (this.scrollTop < nearMore) this.#showEarlier();
    else if (below < nearMore) this.#showLater();
  };

  /** Renders messages that the client already holds; otherwise loads them from the server. */
  #showEarlier(): void {
    if (!this.#follows && this.#window.showEarlier(this.messages)) this.requestUpdate();
    else if (this.#window.isAtBeginning(this.messages) && this.hasOlder && this.#loading === 'no') void this.#load();
  }

  #showLater(): void {
    if (this.#window.showLater(this.messages)) this.requestUpdate();
    // If it fails, the next scrolling tries again.
    else if (this.hasNewer) this.loadNewer().catch(() => {});
  }

  async #load(): Promise<void> {
    this.#loading = 'yes';
    this.requestUpdate();
    try {
      await this.loadOlder();
      this.#loading = 'no';
      // The client may have prepended the page before this call returned; near the beginning it must be visible.
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
    if (this.hasNewer) void this.#loadNewest();
  };

  async #loadNewest(): Promise<void> {
    try {
      while ((await this.loadNewer()).length > 0);
    } catch {
      // The button stays as long as newer messages are missing.
      this.#follows = false;
    }
    this.requestUpdate();
  }

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
      return html`<span>There are no messages yet. Write the first below.</span>`;
    }
    return html`<span>This is the beginning of the room</span>`;
  }
}

customElements.define('message-log', MessageLog);

import { html, LitElement } from 'lit';
import { guard } from 'lit/directives/guard.js';
import { repeat } from 'lit/directives/repeat.js';
import type { Frame } from '../frames.ts';
import type { People } from '../people.ts';
import { icon } from './icons.ts';

const nearEnd = 24;

/** Follows new frames as long as its end is visible. */
class FrameList extends LitElement {
  static override properties = { frames: { attribute: false }, people: { attribute: false } };

  declare frames: readonly Frame[];
  declare people: People;
  #follows = true;
  readonly #resized = new ResizeObserver(() => this.#follow());

  constructor() {
    super();
    this.frames = [];
    this.addEventListener('keydown', this.#pressed);
    this.addEventListener('scroll', () => {
      this.#follows = this.scrollHeight - this.scrollTop - this.clientHeight < nearEnd;
    });
  }

  /** The list is a single Tab stop; the arrow keys move through the frames, starting at the last. */
  readonly #pressed = (event: KeyboardEvent) => {
    const step = event.key === 'ArrowUp' ? -1 : event.key === 'ArrowDown' ? 1 : 0;
    if (step === 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const all = [...this.querySelectorAll('summary')];
    const at = all.indexOf(event.target as HTMLElement);
    const next = all[at < 0 ? all.length - 1 : at + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
  };

  override connectedCallback(): void {
    super.connectedCallback();
    this.#resized.observe(this);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#resized.disconnect();
  }

  protected override createRenderRoot() {
    return this;
  }

  protected override updated(): void {
    this.#follow();
  }

  #follow(): void {
    if (this.#follows) this.scrollTop = this.scrollHeight;
  }

  protected override render() {
    if (this.frames.length === 0) return html`<p class="hint">Frames in both directions appear here.</p>`;
    // A frame never changes; only the name of its person may.
    const row = (frame: Frame) => guard([frame, this.people.nameOf(frame.person)], () => this.#row(frame));
    return html`${repeat(this.frames, ({ n }) => n, row)}`;
  }

  #row({ at, transport, person, direction, name, brief, whole }: Frame) {
    const hue = this.people.get(person)?.hue;
    return html`<details class="frame ${direction}">
      <summary tabindex="-1">
        <time>${formatTime(at)}</time>
        <span class="frame-who ${hue === undefined ? '' : `hue-${hue}`}">${this.people.nameOf(person)}</span>
        <span class="arrow">${icon(direction)}<span class="unseen">${direction === 'in' ? 'received' : 'sent'}</span></span>
        <span class="line">${transport}</span>
        <b>${name}</b>
        <span class="brief">${brief}</span>
      </summary>
      <pre>${whole}</pre>
    </details>`;
  }
}

const two = (n: number) => String(n).padStart(2, '0');
const formatTime = (at: Date) =>
  `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, '0')}`;

customElements.define('frame-list', FrameList);

import { html, svg, type TemplateResult } from 'lit';

const paths = {
  add: svg`<path d="M12 5v14M5 12h14"/>`,
  back: svg`<path d="M15 5l-7 7 7 7"/>`,
  ban: svg`<circle cx="12" cy="12" r="8"/><path d="M6.5 6.500l11 11"/>`,
  book: svg`<path d="M12 6.500C10 5 7 4.500 4 5v13c3-.5 6 0 8 1.500 2-1.500 5-2 8-1.500V5c-3-.5-6 0-8 1.500zM12 6.500V19"/>`,
  check: svg`<path d="M5 12.500l4.5 4.500L19 7.5"/>`,
  clock: svg`<circle cx="12" cy="12" r="8"/><path d="M12 7.500V12l3 2"/>`,
  close: svg`<path d="M6 6l12 12M18 6L6 18"/>`,
  down: svg`<path d="M6 9.500l6 6 6-6"/>`,
  edit: svg`<path d="M5 19l1-4L16 5l3 3L9 18zM14 7l3 3"/>`,
  group: svg`<path d="M9 4L7 20M17 4l-2 16M4.5 9H20M4 15h15.5"/>`,
  in: svg`<path d="M19 12H5M11 6l-6 6 6 6"/>`,
  out: svg`<path d="M5 12h14M13 6l6 6-6 6"/>`,
  lock: svg`<rect x="5.5" y="11" width="13" height="9" rx="2"/><path d="M8.5 11V8a3.5 3.5 0 0 1 7 0v3"/>`,
  moon: svg`<path d="M19.5 14A8 8 0 0 1 10 4.5 8 8 0 1 0 19.5 14z"/>`,
  people: svg`<circle cx="9" cy="8.5" r="3.5"/><path d="M3 20c0-3.5 2.7-5.5 6-5.500s6 2 6 5.500M15.5 5.300a3.5 3.5 0 0 1 0 6.400M17.5 15c2 .7 3.5 2.4 3.5 5"/>`,
  refresh: svg`<path d="M19 12a7 7 0 1 1-2-4.900M17.5 3.500V8H13"/>`,
  send: svg`<path d="M5 12L4 4.5 20.5 12 4 19.500zM5 12h8"/>`,
  spark: svg`<path d="M12 3.500l2 6 6 2-6 2-2 6-2-6-6-2 6-2z"/>`,
  sun: svg`<circle cx="12" cy="12" r="4"/><path d="M12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.600L7 7M17 17l1.4 1.400M5.6 18.400L7 17M17 7l1.4-1.4"/>`,
  trash: svg`<path d="M5 7h14M10 7V4.500h4V7M7 7l1 13h8l1-13"/>`,
  up: svg`<path d="M6 14.500l6-6 6 6"/>`,
  warning: svg`<path d="M12 4L2.8 20h18.400zM12 10v4.500M12 17.300v.2"/>`,
} satisfies Record<string, TemplateResult<2>>;

export type IconName = keyof typeof paths;

/** Hidden from screen readers: the text beside it or the label of its button describes it. */
export const icon = (name: IconName) =>
  html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">${paths[name]}</svg>`;

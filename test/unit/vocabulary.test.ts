import { readdirSync, readFileSync } from 'node:fs';
import { parse } from '@babel/parser';
import { expect } from 'chai';

const src = new URL('../../src/', import.meta.url);

interface Rule {
  /** Matches an identifier as its words in lower case, `takeOut` as "take out", and the text of a comment. */
  pattern: RegExp;
  instead: string;
  /** Restricts the rule to identifiers or comments, because the word is ordinary English in the others. */
  only?: 'identifiers' | 'comments';
}

/** Words that the glossary of docs/contributing/style.md replaces. */
const rules: Record<string, Rule> = {
  hear: { pattern: /\b(hears?|heard|hearing|hearers?)\b/, instead: 'receive, handle, on…' },
  tell: { pattern: /\b(tells?|told|telling)\b/, instead: 'deliver, emit, notify; return, report' },
  say: { pattern: /\b(says?|said|saying)\b/, instead: 'send, report, name, state' },
  announce: {
    pattern: /\b(announces?|announced|announcing|announcements?)\b/,
    instead: 'deliver, emit, broadcast; event',
  },
  obey: { pattern: /\bobey(s|ed)?\b/, instead: 'handle, process' },
  judge: { pattern: /\b(judges?|judged|judging|judgements?)\b/, instead: 'authorize; `judgedAt` is `rightsRev`' },
  verdict: { pattern: /\bverdicts?\b/, instead: 'decision' },
  lack: { pattern: /\black(s|ing)?\b/, instead: 'denialReason; missing…', only: 'identifiers' },
  demand: { pattern: /\bdemand(s|ed)?\b/, instead: 'require…' },
  away: { pattern: /\baway\b/, instead: 'unavailable, down, reconnecting' },
  'a token that holds': { pattern: /\b(tokens? (\w+ )?holds?|bad tokens?)\b/, instead: 'valid, rejected' },
  'word to other nodes': { pattern: /\bwords? (to|from|of) (the )?(other )?nodes?\b/, instead: 'signal' },
  'take out': { pattern: /\b(takes?|taken|taking|took) (\w+ )?out\b/, instead: 'remove' },
  'come back': { pattern: /\b(comes?|coming|came) back\b/, instead: 'reconnect, resync, recover, return' },
  anew: { pattern: /\banew\b/, instead: 'again, reset, reconnect' },
  sweep: { pattern: /\b(sweep(s|ing)?|swept)\b/, instead: 'reconcile' },
  line: { pattern: /\blines?\b/, instead: 'connection, link, pub/sub client' },
  stay: { pattern: /\bstays?\b/, instead: 'subscription', only: 'identifiers' },
  'a stay': { pattern: /\b(a|the|this|that|its|each|every|of) stays?\b/, instead: 'subscription', only: 'comments' },
  place: { pattern: /\bplaces?\b/, instead: 'subscription; position', only: 'identifiers' },
  guest: { pattern: /\b(guests?|seats?|visits?)\b/, instead: 'subscriber, subscription' },
  stand: { pattern: /\b(stands?|stood|standing)\b(?! for\b|-in\b)/, instead: 'state, current; be, follow' },
  most: { pattern: /(?<!\bat )\bmost\b/, instead: 'max', only: 'identifiers' },
  least: { pattern: /(?<!\bat )\bleast\b/, instead: 'min', only: 'identifiers' },
  longest: { pattern: /\blongest\b/, instead: 'max', only: 'identifiers' },
  usual: { pattern: /\busual(ly)?\b/, instead: 'default' },
  patience: { pattern: /\b(patience|patient|patiently)\b/, instead: 'timeout' },
  pause: { pattern: /\b(pauses?|paused|pausing)\b/, instead: 'backoff, delay' },
  timings: { pattern: /\btimings?\b/, instead: 'timeouts' },
  moment: { pattern: /\bmoments?\b/, instead: 'timestamp, date bound', only: 'identifiers' },
  repetition: { pattern: /\brepetitions?\b/, instead: 'duplicate, retry' },
  repeated: { pattern: /\brepeated\b/, instead: 'duplicate, retry', only: 'identifiers' },
  turn: { pattern: /\b(?<!in )turns?\b(?! (off|on|out)\b| (\w+ ){0,3}into\b)/, instead: 'tick, command queue' },
  he: { pattern: /\b(he|him|his|himself|she|hers?|herself)\b/, instead: 'they, them, their' },
  original: { pattern: /^(.* )?originals?( .*)?$/, instead: 'legacy…', only: 'identifiers' },
  'the original': { pattern: /\bthe original('s)?\b/, instead: 'the legacy service', only: 'comments' },
  audience: { pattern: /\baudience\b/, instead: 'broadcaster; subscribers' },
  joining: { pattern: /^joining$/, instead: 'PendingJoin', only: 'identifiers' },
  'logged room': { pattern: /\blogged room\b/, instead: 'RoomSnapshot' },
  ear: { pattern: /\bears?\b/, instead: 'relay socket, subscription' },
  'own mark': { pattern: /\bown mark\b/, instead: 'EchoFilter' },
  straight: { pattern: /\bstraight\b/, instead: 'fast path; directly' },
  resting: { pattern: /\b(resting|rest ms)\b/, instead: 'lock backoff' },
  taken: { pattern: /\btaken\b/, instead: 'converted…, batched…, used', only: 'identifiers' },
  survey: { pattern: /\bsurveys?\b/, instead: 'scan' },
  '…Of': { pattern: /^(\w+ )+of$/, instead: 'a verb: `toMessage`, `formatKey`, `parseIdentity`', only: 'identifiers' },
  whoever: { pattern: /\bwho(m|se)?ever\b/, instead: 'a user who, a client that', only: 'comments' },
  'that there is': { pattern: /\bthat there (is|are)\b/, instead: 'that exist', only: 'comments' },
  'of its own': { pattern: /\bof (its|their|our) own\b/, instead: 'its own, separate', only: 'comments' },
  'another one': { pattern: /\banother one\b/, instead: 'name the thing', only: 'comments' },
};

/**
 * Phrases that a rule must not reject, for example names that Node.js defines. Each entry has to match somewhere in
 * `src/`.
 */
const allowed: { rule: string; phrase: RegExp; files?: RegExp; why: string }[] = [
  { rule: '…Of', phrase: /^(last )?index of$/, why: 'methods of Array and String' },
  { rule: '…Of', phrase: /^(any|all|one) of$/, why: 'keywords of JSON Schema' },
  { rule: '…Of', phrase: /^get prototype of$/, why: 'a method of Object' },
  { rule: 'line', phrase: /\bcommand lines?\b/, why: "a program's arguments" },
  { rule: 'line', phrase: /\bline (ends?|feeds?|breaks?)\b/, why: 'characters of a text' },
  { rule: 'line', phrase: /\b(log|usage|status|first|last|lost|banner|request) lines?\b/, why: 'lines of text' },
  {
    rule: 'line',
    phrase: /\b(single |format )?lines?\b/,
    files: /^(bin|config|legacy-import|observability|database\/move)\//,
    why: 'lines of text',
  },
  { rule: 'audience', phrase: /\baudiences?\b/, files: /^(auth|config|sdk)\//, why: 'the claim `aud` of a token' },
  { rule: 'pause', phrase: /^(pause|is paused)$/, why: 'of streams and sockets in Node.js' },
  { rule: 'pause', phrase: /^hpe paused h2 upgrade$/, why: 'an error code of the HTTP parser of Node.js' },
  { rule: 'sweep', phrase: /\bsweep seconds\b/, why: 'the setting `SWEEP_SECONDS` keeps its name' },
  { rule: 'timings', phrase: /^timing safe equal$/, why: 'a function of node:crypto' },
];

interface Fragment {
  kind: 'identifiers' | 'comments';
  path: string;
  text: string;
  at: string;
}

/** Converts `takeOut`, `TAKE_OUT` and `take-out` to "take out". */
function toWords(name: string): string {
  return name
    .replaceAll(/([a-z\d])([A-Z])/g, '$1 $2')
    .replaceAll(/([A-Z])([A-Z][a-z])/g, '$1 $2')
    .replaceAll(/[^\p{L}\d]+/gu, ' ')
    .trim()
    .toLowerCase();
}

/** Converts a comment to one line in lower case. Code in backticks becomes the words of its names. */
function toSentence(comment: string): string {
  return comment
    .replaceAll(/`([^`]*)`/g, (_code, code: string) => toWords(code))
    .replaceAll(/^\s*\* ?/gm, ' ')
    .replaceAll(/\s+/g, ' ')
    .replaceAll('SWEEP_SECONDS', 'sweep seconds')
    .toLowerCase();
}

/** Returns the identifiers and comments of a file, but no strings, because these may contain words of the protocol. */
function fragmentsOf(path: string, text: string): Fragment[] {
  const { tokens, comments } = parse(text, { sourceType: 'module', plugins: ['typescript'], tokens: true });
  const names = (tokens ?? []).filter(({ type }) =>
    ['name', '#name'].includes((type as { label?: string }).label ?? ''),
  );
  return [
    { kind: 'identifiers', text: toWords(path.replace(/(\.\w+)?\.ts$/, '')), at: path, path },
    ...names.map(({ value, loc }) => ({
      kind: 'identifiers' as const,
      path,
      text: toWords(String(value)),
      at: `${path}:${loc.start.line} ${value}`,
    })),
    ...(comments ?? []).map(({ value, loc }) => ({
      kind: 'comments' as const,
      path,
      text: toSentence(value),
      at: `${path}:${loc!.start.line}`,
    })),
  ];
}

const applies = ({ files = /./ }: (typeof allowed)[number], { path }: Fragment) => files.test(path);

function hits(name: string, fragments: readonly Fragment[]): string[] {
  const { pattern, only } = rules[name]!;
  const exceptions = allowed.filter(({ rule }) => rule === name);
  return fragments.flatMap((fragment) => {
    const { kind, text, at } = fragment;
    if (only && only !== kind) return [];
    const rest = exceptions
      .filter((exception) => applies(exception, fragment))
      .reduce((left, { phrase }) => left.replaceAll(new RegExp(phrase, 'g'), '…'), text);
    const found = pattern.exec(rest);
    if (!found) return [];
    return [kind === 'comments' ? `${at}: ${rest.slice(Math.max(0, found.index - 40), found.index + 40).trim()}` : at];
  });
}

describe('the vocabulary of src/', () => {
  const files = readdirSync(src, { recursive: true, encoding: 'utf8' })
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => path.endsWith('.ts'))
    .sort();
  const fragments = files.flatMap((path) => fragmentsOf(path, readFileSync(new URL(path, src), 'utf8')));

  for (const [name, { instead }] of Object.entries(rules)) {
    it(`finds no "${name}" in the identifiers and comments of src/, which use instead: ${instead}`, () => {
      expect(hits(name, fragments)).to.deep.equal([]);
    });
  }

  it('uses every exception of the vocabulary', () => {
    const isUsed = (exception: (typeof allowed)[number]) =>
      fragments.some((fragment) => applies(exception, fragment) && exception.phrase.test(fragment.text));
    const unused = allowed.filter((exception) => !isUsed(exception));
    expect(unused.map(({ phrase }) => String(phrase))).to.deep.equal([]);
  });

  it('finds the words of a rule, and ignores their ordinary meanings', () => {
    const text = `class TakeOutTurn {} // In the same turn it comes back; the line is up. He waits for whoever stands there.
      // It turns rows into a list of at most two log lines, in turn. Ten stands for all.`;
    const found = (name: string) => hits(name, fragmentsOf('core/sample.ts', text)).map((at) => at.split(':')[1]![0]);
    for (const name of ['come back', 'line', 'he', 'whoever', 'stand']) expect(found(name), name).to.deep.equal(['1']);
    expect(found('take out')).to.deep.equal(['1']);
    expect(found('turn')).to.deep.equal(['1', '1']);
    expect(found('most')).to.deep.equal([]);
  });

  it('reads names of every kind and comments, and not strings', () => {
    const found = fragmentsOf(
      'core/own-mark.ts',
      `class Ear { #judgedAt?: Verdict; obey() { return { [\`\${lineOf}\`]: 'hears' }; } } // He comes
       // back
       /** Whoever
        * stays \`takenOut\`. */`,
    ).map(({ text }) => text);
    expect(found).to.include.members(['core own mark', 'ear', 'judged at', 'verdict', 'obey', 'line of', ' he comes']);
    expect(found.at(-1)).to.equal(' whoever stays taken out. ');
    expect(found.join()).to.not.include('hears');
  });
});

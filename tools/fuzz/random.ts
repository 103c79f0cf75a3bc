/** Creates random values from a seed. The same seed always gives the same values. */
export interface Random {
  int(below: number): number;
  pick<T>(choices: readonly T[]): T;
  chance(probability: number): boolean;
}

/** mulberry32: small, fast and random enough for tests. */
export function random(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
  const int = (below: number) => Math.floor(next() * below);
  return { int, pick: (choices) => choices[int(choices.length)]!, chance: (probability) => next() < probability };
}

const strings = [
  '',
  'hello',
  '😀 ñ "quotes" <b>html</b>',
  '\ud800',
  '\udfff lone',
  'nul\0inside',
  '__proto__',
  'constructor',
  '028',
  '1e3',
  '9'.repeat(40),
  '-1',
  'null',
  '../../etc/passwd',
  "' or 1=1; --",
  '\u202e\u0000\uffff',
  'x'.repeat(9_000),
  '00000000-0000-0000-0000-000000000000',
  'FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF',
];
const numbers = [0, -0, 1, -1, 1.5, 2 ** 31, 2 ** 53, -(2 ** 63), 1e308, Number.MIN_VALUE, 1e21];
const keys = ['type', 'room_id', 'content', 'msg', 'since', 'id', 'client_msg_id', 'limit', 'before', '__proto__', 'x'];

/** A JSON value of any type. `known` are values that mean something to the server. */
export function oddValue(random: Random, known: readonly unknown[], depth = 0): unknown {
  const kind = random.int(depth > 4 ? 6 : 9);
  switch (kind) {
    case 0:
      return null;
    case 1:
      return random.chance(0.5);
    case 2:
      return random.pick(numbers);
    case 3:
      return random.pick(strings);
    case 4:
    case 5:
      return random.pick(known);
    case 6:
      return Array.from({ length: random.int(5) }, () => oddValue(random, known, depth + 1));
    default: {
      const object: Record<string, unknown> = {};
      for (let n = random.int(5); n > 0; n--) object[random.pick(keys)] = oddValue(random, known, depth + 1);
      return object;
    }
  }
}

/** Text that is JSON, almost JSON, or not JSON at all. */
export function oddText(random: Random, value: unknown): string | Buffer {
  const text = JSON.stringify(value) ?? 'undefined';
  switch (random.int(24)) {
    case 0:
      return text.slice(0, random.int(text.length + 1));
    case 1:
      return `${'['.repeat(2_000)}${']'.repeat(2_000)}`;
    case 2:
      return '{"a":'.repeat(1_500);
    case 3:
      return Buffer.from([0xff, 0xfe, random.int(256), random.int(256)]);
    case 4:
      return Buffer.from(text);
    case 5:
      return `{"type":"message","content":"\\ud83d","room_id":1e999,"id":${'9'.repeat(400)}}`;
    case 6:
      return random.pick(['', ' ', '\0', 'NaN', '"', '}{', 'true', '42', '[]', '{}', '"text"', 'null']);
    default:
      return text;
  }
}

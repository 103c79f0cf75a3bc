import { createPublicKey, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import { findWeakness } from './secret-strength.ts';
import { type FileSetting, fileSettings, readSettingFiles } from './setting-files.ts';

/** Exactly one source of the keys that tokens are verified with. */
export type TokenKeys =
  | { source: 'secrets'; secrets: string[] }
  | { source: 'public_key'; key: KeyObject; algorithm: 'RS256' | 'ES256' }
  | {
      source: 'jwks';
      url: string;
      timeouts?: Partial<{ refreshMs: number; maxBackoffMs: number; initialBackoffMs: number; timeoutMs: number }>;
    }
  /** Made at the first start and kept in the data directory; the embedded default only. */
  | { source: 'embedded' };

const zeroIsOff = 'A limit of 0 is off.';

const integerSetting = ({ min = 0, max = 2_147_483_647 } = {}) =>
  z
    .string()
    .regex(/^[0-9]+$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.int().min(min, `must be at least ${min}`).max(max, `must be at most ${max}`));

const wholeNumber = (fallback: number, bounds?: { min?: number; max?: number }) =>
  integerSetting(bounds).default(fallback);

// A line end at the end is refused, not cut: the program that signs may read the same value with it.
const oneLine = z.string().regex(/^[^\p{Cc}\u{feff}]*$/u, {
  error: 'must not contain line ends or other control characters',
  abort: true,
});

const list = oneLine
  .transform((text) => text.split(',').map((item) => item.trim()))
  .refine((items) => items.every(Boolean), 'must be one value, or several with a comma between');

/** As browsers write an origin, so that it can be compared with one. */
const origins = list.transform((items, context) => {
  if (items.length === 1 && items[0] === '*') return items;
  for (const item of items) {
    if (!/^[a-z][a-z0-9+.-]*:\/\/[^\s/?#@*]+$/i.test(item)) {
      const message = `${item} is not an origin; write * alone, or origins such as https://app.example,https://app.example:8443`;
      context.addIssue({ code: 'custom', message });
    }
  }
  return items.map((item) =>
    /^https?:/i.test(item) && URL.canParse(item) ? new URL(item).origin : item.toLowerCase(),
  );
});

const url = (...protocols: string[]) =>
  oneLine.refine((text) => URL.canParse(text) && protocols.includes(new URL(text).protocol), {
    message: `must be a URL that starts with ${protocols.map((protocol) => `${protocol}//`).join(' or ')}`,
  });

/** As RFC 7518 (3.3) requires for RS256. */
export const minRsaBits = 2_048;
/** As RFC 7518 (3.2) requires for HS256. */
const minSecretBytes = 32;

const secretAdvice = 'make one with: openssl rand -base64 32';

const secret = (minBytes: number) =>
  oneLine.superRefine((text, context) => {
    const weakness = findWeakness(text, minBytes);
    if (weakness) context.addIssue({ code: 'custom', message: `${weakness}; ${secretAdvice}` });
  });

const publicKey = z.string().transform((pem, context): { key: KeyObject; algorithm: 'RS256' | 'ES256' } => {
  try {
    const key = createPublicKey(pem.replaceAll('\\n', '\n'));
    const { modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
    if (key.asymmetricKeyType === 'rsa' && modulusLength < minRsaBits) {
      context.addIssue({
        code: 'custom',
        message: `is an RSA key of ${modulusLength} bits; it must have ${minRsaBits}`,
      });
      return z.NEVER;
    }
    if (key.asymmetricKeyType === 'rsa') return { key, algorithm: 'RS256' };
    if (key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1') {
      return { key, algorithm: 'ES256' };
    }
    context.addIssue({ code: 'custom', message: 'must be an RSA or a P-256 key' });
  } catch {
    context.addIssue({ code: 'custom', message: 'must be a public key in PEM' });
  }
  return z.NEVER;
});

/** What the client would stumble over at each attempt to connect. */
const redisUrl = url('redis:', 'rediss:')
  .refine((text) => isDecodable(text), 'has a % in its user or password that is not followed by two digits: write %25')
  .refine((text) => /^\/?[0-9]*$/.test(getPath(text)), 'may end with the number of a database, and with nothing else');

const getPath = (text: string) => (URL.canParse(text) ? new URL(text).pathname : '');

function isDecodable(text: string): boolean {
  if (!URL.canParse(text)) return true;
  const { username, password } = new URL(text);
  try {
    decodeURIComponent(username + password);
    return true;
  } catch {
    return false;
  }
}

function rejectClusterDatabase(urls: string[], context: z.RefinementCtx): void {
  if (urls.length < 2 || urls.every((text) => Number(getPath(text).slice(1)) === 0)) return;
  context.addIssue({
    code: 'custom',
    message: 'several addresses are those of a Cluster, which has the database 0 only',
  });
}

/** The settings by their names in the environment. */
export const environment = z.object({
  HOST: oneLine.optional(),
  PORT: wholeNumber(7777, { max: 65_535 }),
  ALLOWED_ORIGINS: origins.prefault('*'),
  DATABASE_URL: url('postgres:', 'postgresql:').optional(),
  DATABASE_POOL_SIZE: wholeNumber(10, { min: 2, max: 1_000 }),
  DATABASE_TIMEOUT_SECONDS: wholeNumber(10, { min: 1, max: 600 }),
  REDIS_URL: list.pipe(z.array(redisUrl).superRefine(rejectClusterDatabase)).optional(),
  REDIS_ADAPTER: z.enum(['auto', 'sharded', 'classic'], { error: 'must be auto, sharded or classic' }).default('auto'),
  REDIS_PREFIX: z
    .string()
    .regex(/^[A-Za-z0-9_.:-]{1,64}$/, 'must be 1 to 64 of A-Z a-z 0-9 _ . : -')
    .default('nano'),
  DATA_DIR: oneLine.default('.data'),
  // With a public key for a secret everybody could sign.
  JWT_SECRET: z
    .string()
    .refine((text) => !text.includes('-----BEGIN'), {
      message: 'is a key in PEM; JWT_PUBLIC_KEY takes it',
      abort: true,
    })
    .pipe(list)
    .pipe(z.array(secret(minSecretBytes)))
    .optional(),
  JWT_PUBLIC_KEY: publicKey.optional(),
  JWT_JWKS_URL: url('https:').optional(),
  JWT_AUDIENCE: list.optional(),
  JWT_ISSUER: list.optional(),
  ROOM_CREATE_LEVEL: wholeNumber(100),
  MAX_CONTENT_BYTES: wholeNumber(8_192).describe(zeroIsOff),
  MAX_FRAME_BYTES: wholeNumber(65_536).describe(zeroIsOff),
  MAX_ROOMS_PER_CONNECTION: wholeNumber(128).describe(zeroIsOff),
  MAX_CONNECTIONS_PER_USER: wholeNumber(20).describe(zeroIsOff),
  MAX_UNAUTHENTICATED_CONNECTIONS: wholeNumber(10_000).describe(zeroIsOff),
  MAX_CONNECTIONS: wholeNumber(30_000).describe(zeroIsOff),
  MAX_SEND_BUFFER_BYTES: wholeNumber(1_048_576).describe(zeroIsOff),
  MAX_RULES_PER_ROOM: wholeNumber(1_000).describe(zeroIsOff),
  SEND_RATE: wholeNumber(20).describe(zeroIsOff),
  SEND_BURST: wholeNumber(100, { min: 1 }),
  REQUEST_RATE: wholeNumber(100).describe(zeroIsOff),
  REQUEST_BURST: wholeNumber(3_000, { min: 1 }),
  RULE_RATE: wholeNumber(60).describe(zeroIsOff),
  RULE_BURST: wholeNumber(200, { min: 1 }),
  MAX_ROOMS_PER_CREATOR: wholeNumber(10_000).describe(zeroIsOff),
  AUTH_TIMEOUT_SECONDS: wholeNumber(60, { min: 1, max: 3_600 }),
  HTTP_KEEP_ALIVE_SECONDS: wholeNumber(75, { min: 1, max: 3_600 }),
  PING_INTERVAL_SECONDS: wholeNumber(25, { min: 1, max: 3_600 }),
  SWEEP_SECONDS: wholeNumber(2, { min: 1, max: 3_600 }),
  DRAIN_TIMEOUT_SECONDS: wholeNumber(15, { max: 3_600 }),
  NODE_NAME: z
    .string()
    .regex(/^[a-z0-9-]{1,63}$/, 'must be 1 to 63 of a-z, 0-9 and -')
    .optional(),
  METRICS_PORT: integerSetting({ max: 65_535 }).optional(),
  METRICS_TOKEN: secret(16).optional(),
  ADMIN_TOKEN: z
    .string()
    .regex(/^[\x21-\x7e]*$/, { error: 'must be ASCII characters without blanks', abort: true })
    .pipe(secret(32))
    .optional(),
  PLAYGROUND: z.enum(['auto', 'on', 'off'], { error: 'must be auto, on or off' }).default('auto'),
  LOG_FORMAT: z.enum(['auto', 'json', 'pretty'], { error: 'must be auto, json or pretty' }).default('auto'),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
});

/** Every name that a setting can be given by. */
export const settingNames: readonly string[] = [
  ...Object.keys(environment.shape),
  ...fileSettings.map((name): FileSetting => `${name}_FILE`),
];

export interface Limits {
  contentBytes: number;
  frameBytes: number;
  roomsPerConnection: number;
  connectionsPerUser: number;
  unauthenticatedConnections: number;
  sendBufferBytes: number;
  rulesPerRoom: number;
  sendRate: number;
  sendBurst: number;
  /** Tokens a second and of a full bucket; what a request costs is in `protocol/request-costs.ts`. */
  requestRate: number;
  requestBurst: number;
  /** New rules that one user or organisation may be given, a minute and at once. */
  ruleRate: number;
  ruleBurst: number;
  roomsPerCreator: number;
}

export interface Config {
  /** `::`: every address of this machine, IPv6 and IPv4. */
  host: string;
  port: number;
  /** Origins of the pages that may use the service; undefined: all. */
  allowedOrigins: string[] | undefined;
  http: { keepAliveMs: number; headersTimeoutMs: number; requestTimeoutMs: number; maxConnections: number };
  database:
    | { mode: 'embedded'; directory: string | undefined }
    | { mode: 'postgres'; databaseUrl: string; poolSize: number; statementTimeoutMs: number };
  /** What the nodes say to one another goes over Redis; undefined: there is one node. */
  redis: { urls: string[]; adapter: 'auto' | 'sharded' | 'classic'; prefix: string } | undefined;
  dataDirectory: string;
  tokens: { keys: TokenKeys; audiences: string[] | undefined; issuers: string[] | undefined };
  roomCreateLevel: number;
  limits: Limits;
  authTimeoutMs: number;
  pingIntervalMs: number;
  reconcileIntervalMs: number;
  drainTimeoutMs: number;
  nodeName: string | undefined;
  metrics: { port: number | undefined; token: string | undefined };
  /** Who has it may revoke tokens; without it nobody may. */
  adminToken: string | undefined;
  /** Whether the page to try it out is served. */
  playground: boolean;
  logLevel: string;
  logFormat: 'auto' | 'json' | 'pretty';
  /** What was set and is ignored, in words for the log. */
  warnings: string[];
}

/** Every wrong setting, each with its reason. */
export class ConfigError extends Error {
  readonly mistakes: string[];

  constructor(mistakes: string[]) {
    super(`The configuration is wrong:\n${mistakes.map((mistake) => `  ${mistake}`).join('\n')}`);
    this.name = 'ConfigError';
    this.mistakes = mistakes;
  }
}

type Environment = Record<string, string | undefined>;

interface ReadOptions {
  /** False for a command that verifies no tokens: whatever is set for keys is neither read nor missed. */
  needsKeys?: boolean;
}

/** Reads the settings from the environment, or throws a `ConfigError` that names every mistake at once. */
export function readConfig(env: Environment, { needsKeys = true }: ReadOptions = {}): Config {
  // An empty value is what `NAME=` in a compose file gives for "not set", except for a key: that is a mistake.
  const given = Object.fromEntries(
    Object.entries(env).filter(([name, value]) => (name.startsWith('JWT_') ? needsKeys : value !== '')),
  );
  const links = dropServiceLinks(given);
  const files = readSettingFiles(links.settings);
  const parsed = environment.safeParse(files.settings);
  const mistakes = parsed.success
    ? []
    : parsed.error.issues.map(({ path, message }) => `${settingNameIn(given, path)}: ${message}`);
  mistakes.unshift(...files.mistakes);
  if (needsKeys) mistakes.push(...findKeyMistakes(given));
  mistakes.push(...findNodeMistakes(given));
  if (parsed.success) mistakes.push(...findContradictions(parsed.data));
  if (!parsed.success || mistakes.length > 0) throw new ConfigError([...new Set(mistakes)]);
  const settings = parsed.data;
  const keys = toTokenKeys(settings);
  return {
    host: settings.HOST ?? (settings.DATABASE_URL ? '::' : '127.0.0.1'),
    port: settings.PORT,
    allowedOrigins: settings.ALLOWED_ORIGINS[0] === '*' ? undefined : settings.ALLOWED_ORIGINS,
    http: {
      keepAliveMs: settings.HTTP_KEEP_ALIVE_SECONDS * 1_000,
      headersTimeoutMs: 10_000,
      requestTimeoutMs: 30_000,
      maxConnections: settings.MAX_CONNECTIONS,
    },
    database: settings.DATABASE_URL
      ? {
          mode: 'postgres',
          databaseUrl: settings.DATABASE_URL,
          poolSize: settings.DATABASE_POOL_SIZE,
          statementTimeoutMs: settings.DATABASE_TIMEOUT_SECONDS * 1_000,
        }
      : { mode: 'embedded', directory: settings.DATA_DIR },
    redis: settings.REDIS_URL && {
      urls: settings.REDIS_URL,
      adapter: settings.REDIS_ADAPTER,
      prefix: settings.REDIS_PREFIX,
    },
    dataDirectory: settings.DATA_DIR,
    tokens: { keys, audiences: settings.JWT_AUDIENCE, issuers: settings.JWT_ISSUER },
    roomCreateLevel: settings.ROOM_CREATE_LEVEL,
    limits: {
      contentBytes: settings.MAX_CONTENT_BYTES,
      frameBytes: settings.MAX_FRAME_BYTES,
      roomsPerConnection: settings.MAX_ROOMS_PER_CONNECTION,
      connectionsPerUser: settings.MAX_CONNECTIONS_PER_USER,
      unauthenticatedConnections: settings.MAX_UNAUTHENTICATED_CONNECTIONS,
      sendBufferBytes: settings.MAX_SEND_BUFFER_BYTES,
      rulesPerRoom: settings.MAX_RULES_PER_ROOM,
      sendRate: settings.SEND_RATE,
      sendBurst: settings.SEND_BURST,
      requestRate: settings.REQUEST_RATE,
      requestBurst: settings.REQUEST_BURST,
      ruleRate: settings.RULE_RATE,
      ruleBurst: settings.RULE_BURST,
      roomsPerCreator: settings.MAX_ROOMS_PER_CREATOR,
    },
    authTimeoutMs: settings.AUTH_TIMEOUT_SECONDS * 1_000,
    pingIntervalMs: settings.PING_INTERVAL_SECONDS * 1_000,
    reconcileIntervalMs: settings.SWEEP_SECONDS * 1_000,
    drainTimeoutMs: settings.DRAIN_TIMEOUT_SECONDS * 1_000,
    nodeName: settings.NODE_NAME,
    metrics: { port: settings.METRICS_PORT, token: settings.METRICS_TOKEN },
    adminToken: settings.ADMIN_TOKEN,
    playground: settings.PLAYGROUND === 'auto' ? keys.source === 'embedded' : settings.PLAYGROUND === 'on',
    logLevel: settings.LOG_LEVEL,
    logFormat: settings.LOG_FORMAT,
    warnings: links.warnings,
  };
}

/** Kubernetes sets `NAME_PORT=tcp://…` in every pod for each Service of the namespace: one called `metrics` is no port. */
function dropServiceLinks(given: Environment): { settings: Environment; warnings: string[] } {
  const isLink = ([name, value]: [string, string | undefined]) =>
    /(^|_)PORT$/.test(name) && Object.hasOwn(environment.shape, name) && /^(tcp|udp|sctp):\/\//.test(value ?? '');
  const entries = Object.entries(given);
  const warnings = entries
    .filter(isLink)
    .map(
      ([name]) =>
        `${name} is the link of a Kubernetes service, not a port, and is ignored; enableServiceLinks: false removes it`,
    );
  return { settings: Object.fromEntries(entries.filter((entry) => !isLink(entry))), warnings };
}

/** `JWT_SECRET_FILE` where the value came from a file. Of a list, the name is that of the setting. */
function settingNameIn(given: Environment, [name]: PropertyKey[]): string {
  const file = `${String(name)}_FILE`;
  return given[file] === undefined ? String(name) : file;
}

const isGiven = (env: Environment, name: string) => env[name] !== undefined || env[`${name}_FILE`] !== undefined;

function findKeyMistakes(env: Environment): string[] {
  const sources = ['JWT_SECRET', 'JWT_PUBLIC_KEY', 'JWT_JWKS_URL'].filter((name) => isGiven(env, name));
  const mistakes = [];
  if (sources.length > 1) mistakes.push(`${sources.join(', ')}: only one source of keys may be set`);
  if (sources.length === 0 && isGiven(env, 'DATABASE_URL')) {
    mistakes.push('JWT_SECRET: a key is needed with DATABASE_URL; set JWT_SECRET, JWT_PUBLIC_KEY or JWT_JWKS_URL');
  }
  return mistakes;
}

function findNodeMistakes(env: Environment): string[] {
  return isGiven(env, 'REDIS_URL') && !isGiven(env, 'DATABASE_URL')
    ? ['REDIS_URL: several nodes share one database; set DATABASE_URL, too']
    : [];
}

type Values = z.infer<typeof environment>;

/** What no setting shows by itself. A limit of 0 is off and contradicts nothing. */
function findContradictions({
  MAX_CONTENT_BYTES,
  MAX_FRAME_BYTES,
  MAX_SEND_BUFFER_BYTES,
  ...values
}: Values): string[] {
  const mistakes: string[] = [];
  if (MAX_FRAME_BYTES && MAX_CONTENT_BYTES >= MAX_FRAME_BYTES) {
    mistakes.push(
      `MAX_CONTENT_BYTES: must be below MAX_FRAME_BYTES (${MAX_FRAME_BYTES}), because a frame holds the content`,
    );
  }
  if (MAX_SEND_BUFFER_BYTES && MAX_CONTENT_BYTES >= MAX_SEND_BUFFER_BYTES) {
    mistakes.push(
      `MAX_CONTENT_BYTES: must be below MAX_SEND_BUFFER_BYTES (${MAX_SEND_BUFFER_BYTES}), or one message closes the connections of all who receive it`,
    );
  }
  if (values.METRICS_PORT && values.METRICS_PORT === values.PORT) {
    mistakes.push(`METRICS_PORT: must differ from PORT (${values.PORT})`);
  }
  const { JWT_SECRET = [], ADMIN_TOKEN, METRICS_TOKEN } = values;
  if (ADMIN_TOKEN !== undefined && ADMIN_TOKEN === METRICS_TOKEN) {
    mistakes.push('METRICS_TOKEN: must differ from ADMIN_TOKEN, or whoever reads metrics can revoke tokens');
  }
  for (const [name, value] of Object.entries({ ADMIN_TOKEN, METRICS_TOKEN })) {
    if (value !== undefined && JWT_SECRET.includes(value)) {
      mistakes.push(`${name}: must differ from JWT_SECRET, or whoever sends it can sign tokens`);
    }
  }
  return mistakes;
}

function toTokenKeys(settings: z.infer<typeof environment>): TokenKeys {
  if (settings.JWT_SECRET) return { source: 'secrets', secrets: settings.JWT_SECRET };
  if (settings.JWT_PUBLIC_KEY) return { source: 'public_key', ...settings.JWT_PUBLIC_KEY };
  if (settings.JWT_JWKS_URL) return { source: 'jwks', url: settings.JWT_JWKS_URL };
  return { source: 'embedded' };
}

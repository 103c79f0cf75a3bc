import type { KeyObject } from 'node:crypto';
import {
  type ArrangedSettings,
  arrangeSettings,
  type ConfigGroup,
  environment,
  type SettingValues,
} from './environment.ts';
import { findMisspeltSettings } from './misspelt-settings.ts';
import { readSettingFiles } from './setting-files.ts';
import { settings as rows } from './settings.ts';
import { findInsecureWebhooks, type WebhookEndpoint } from './webhook-schema.ts';

/** The source of the keys that verify tokens. A configuration has exactly one source. */
export type TokenKeys =
  | { source: 'secrets'; secrets: string[] }
  | { source: 'public_key'; key: KeyObject; algorithm: 'RS256' | 'ES256' }
  | {
      source: 'jwks';
      url: string;
      timeouts?: Partial<{ refreshMs: number; maxBackoffMs: number; initialBackoffMs: number; timeoutMs: number }>;
    }
  /** A generated key in the data directory. It is used only if no other source is set. */
  | { source: 'embedded' };

export type Limits = ConfigGroup<'limits'>;

/** The configuration of a node. Most values come directly from `settings.ts`; only the others are declared here. */
export interface Config extends Omit<ArrangedSettings, 'database' | 'redis'> {
  /** Whether the service knows who is present in rooms. */
  presence: boolean;
  /** The address to listen on. `::` means every address of this machine, IPv6 and IPv4. */
  host: string;
  http: ConfigGroup<'http'> & { headersTimeoutMs: number; requestTimeoutMs: number };
  database:
    | { mode: 'embedded'; directory: string | undefined }
    | ({ mode: 'postgres'; databaseUrl: string } & ConfigGroup<'database'>);
  /** Undefined if the node runs alone. */
  redis: ({ urls: string[] } & ConfigGroup<'redis'>) | undefined;
  tokens: ConfigGroup<'tokens'> & { keys: TokenKeys };
  webhooks: readonly WebhookEndpoint[];
  /** Durations without a setting. Only tests change them. */
  timeouts?: Partial<
    Record<'typing' | 'presence' | 'inbox' | 'webhooks' | 'rowRemoval' | 'drain', Record<string, number>>
  >;
  /** Whether the playground is served. */
  playground: boolean;
  /** Warnings about environment variables that are set but ignored. */
  warnings: string[];
}

/** Lists all mistakes in the settings. */
export class ConfigError extends Error {
  readonly mistakes: string[];

  constructor(mistakes: string[]) {
    super(`The configuration has mistakes:\n${mistakes.map((mistake) => `  ${mistake}`).join('\n')}`);
    this.name = 'ConfigError';
    this.mistakes = mistakes;
  }
}

type Environment = Record<string, string | undefined>;

interface ReadOptions {
  /**
   * Set this to false for a command that verifies no tokens. The key settings (`JWT_…`) are then ignored and may be
   * missing.
   */
  needsKeys?: boolean;
}

/** Reads the settings from the environment. Throws a `ConfigError` that lists all mistakes. */
export function readConfig(env: Environment, { needsKeys = true }: ReadOptions = {}): Config {
  // An empty value means that the setting is not set, because a compose file with `NAME=` sets an empty value. An empty
  // key setting (`JWT_…`) is a mistake, so that a node never starts with another key than the operator intended.
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
  const values = parsed.data;
  const { database, redis, http, tokens, ...arranged } = arrangeSettings(values);
  const keys = toTokenKeys(values);
  const { DATABASE_URL: databaseUrl, REDIS_URL: urls, PLAYGROUND: playground, WEBHOOKS: webhooks = [] } = values;
  return {
    ...arranged,
    host: values.HOST ?? (databaseUrl ? '::' : '127.0.0.1'),
    http: { ...http, headersTimeoutMs: 10_000, requestTimeoutMs: 30_000 },
    database: databaseUrl
      ? { mode: 'postgres', databaseUrl, ...database }
      : { mode: 'embedded', directory: values.DATA_DIR },
    redis: urls && { urls, ...redis },
    tokens: { ...tokens, keys },
    presence: values.PRESENCE === 'on',
    playground: playground === 'auto' ? keys.source === 'embedded' : playground === 'on',
    webhooks,
    warnings: [...links.warnings, ...findMisspeltSettings(env), ...findInsecureWebhooks(webhooks)],
  };
}

/**
 * Drops variables that Kubernetes has set. For each Service, Kubernetes sets `NAME_PORT=tcp://…` in every pod of the
 * namespace. A Service called `metrics`, for example, sets `METRICS_PORT`, which must not be read as our setting.
 */
function dropServiceLinks(given: Environment): { settings: Environment; warnings: string[] } {
  const isLink = ([name, value]: [string, string | undefined]) =>
    /(^|_)PORT$/.test(name) && Object.hasOwn(rows, name) && /^(tcp|udp|sctp):\/\//.test(value ?? '');
  const entries = Object.entries(given);
  const warnings = entries
    .filter(isLink)
    .map(
      ([name]) =>
        `${name} is ignored: Kubernetes has set it for a Service, and it is not a port. Set enableServiceLinks: false in the pod to remove it`,
    );
  return { settings: Object.fromEntries(entries.filter((entry) => !isLink(entry))), warnings };
}

/** Returns the name that the operator used: `JWT_SECRET_FILE` instead of `JWT_SECRET` if the value came from a file. */
function settingNameIn(given: Environment, [name]: PropertyKey[]): string {
  const file = `${String(name)}_FILE`;
  return given[file] === undefined ? String(name) : file;
}

const isGiven = (env: Environment, name: string) => env[name] !== undefined || env[`${name}_FILE`] !== undefined;

function findKeyMistakes(env: Environment): string[] {
  const sources = ['JWT_SECRET', 'JWT_PUBLIC_KEY', 'JWT_JWKS_URL'].filter((name) => isGiven(env, name));
  const mistakes = [];
  if (sources.length > 1) mistakes.push(`${sources.join(', ')}: set only one of them`);
  if (sources.length === 0 && isGiven(env, 'DATABASE_URL')) {
    mistakes.push('JWT_SECRET: a key is needed with DATABASE_URL; set JWT_SECRET, JWT_PUBLIC_KEY or JWT_JWKS_URL');
  }
  return mistakes;
}

function findNodeMistakes(env: Environment): string[] {
  if (isGiven(env, 'DATABASE_URL')) return [];
  return [
    ...(isGiven(env, 'REDIS_URL') ? ['REDIS_URL: several nodes share one database; set DATABASE_URL, too'] : []),
    // `auto` is a mistake even on a machine with one core, so that the same settings are valid on every machine.
    ...((env.WORKERS ?? '1') === '1'
      ? []
      : ['WORKERS: only one process can use the embedded database; set DATABASE_URL, too, or WORKERS=1']),
  ];
}

/** Finds settings that contradict each other. A limit of 0 means no limit, so it contradicts nothing. */
function findContradictions({
  MAX_CONTENT_BYTES,
  MAX_FRAME_BYTES,
  MAX_SEND_BUFFER_BYTES,
  ...values
}: SettingValues): string[] {
  const mistakes: string[] = [];
  if (MAX_FRAME_BYTES && MAX_CONTENT_BYTES >= MAX_FRAME_BYTES) {
    mistakes.push(
      `MAX_CONTENT_BYTES: must be below MAX_FRAME_BYTES (${MAX_FRAME_BYTES}), because the content is sent in a frame`,
    );
  }
  if (MAX_SEND_BUFFER_BYTES && MAX_CONTENT_BYTES >= MAX_SEND_BUFFER_BYTES) {
    mistakes.push(
      `MAX_CONTENT_BYTES: must be below MAX_SEND_BUFFER_BYTES (${MAX_SEND_BUFFER_BYTES}); otherwise one message could close the connections of all its recipients`,
    );
  }
  if (values.METRICS_PORT && values.METRICS_PORT === values.PORT) {
    mistakes.push(`METRICS_PORT: must differ from PORT (${values.PORT})`);
  }
  const { JWT_SECRET = [], ADMIN_TOKEN, METRICS_TOKEN, ADMIN_PORT } = values;
  if (ADMIN_PORT !== undefined && !ADMIN_TOKEN) mistakes.push('ADMIN_PORT: needs ADMIN_TOKEN; set it, too');
  for (const name of ['PORT', 'METRICS_PORT'] as const) {
    if (ADMIN_PORT && ADMIN_PORT === values[name])
      mistakes.push(`ADMIN_PORT: must differ from ${name} (${ADMIN_PORT})`);
  }
  if (METRICS_TOKEN !== undefined && ADMIN_TOKEN?.includes(METRICS_TOKEN)) {
    mistakes.push('METRICS_TOKEN: must differ from ADMIN_TOKEN; otherwise a reader of the metrics could use /admin');
  }
  for (const [name, tokens] of Object.entries({ ADMIN_TOKEN, METRICS_TOKEN: METRICS_TOKEN ? [METRICS_TOKEN] : [] })) {
    if (tokens?.some((token) => JWT_SECRET.includes(token))) {
      mistakes.push(`${name}: must differ from JWT_SECRET; otherwise its owner could sign tokens`);
    }
  }
  return mistakes;
}

function toTokenKeys(settings: SettingValues): TokenKeys {
  if (settings.JWT_SECRET) return { source: 'secrets', secrets: settings.JWT_SECRET };
  if (settings.JWT_PUBLIC_KEY) return { source: 'public_key', ...settings.JWT_PUBLIC_KEY };
  if (settings.JWT_JWKS_URL) return { source: 'jwks', url: settings.JWT_JWKS_URL };
  return { source: 'embedded' };
}

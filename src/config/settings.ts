import { z } from 'zod';
import type { Setting } from './setting.ts';
import {
  adminTokens,
  choice,
  jwtSecrets,
  list,
  metricsToken,
  origins,
  port,
  publicKey,
  redisUrls,
  seconds,
  text,
  url,
  wholeNumber,
  workers,
} from './setting-schemas.ts';
import { webhookEndpoints } from './webhook-schema.ts';

/** After a change here, run `npm run docs:settings`. It updates the table in docs/operations/settings.md. */
export const settings = {
  HOST: {
    schema: text,
    defaultText: '`127.0.0.1`; `::` with `DATABASE_URL`',
    description: 'address to listen on; `::` is every address, IPv6 and IPv4',
  },
  PORT: { schema: port, default: '7777', description: 'port to listen on; 0 chooses a free one', config: 'port' },
  WORKERS: {
    schema: workers,
    default: '1',
    description:
      'processes that serve this node on its one port: a number, or `auto`, which is one for each core. More than 1 needs `DATABASE_URL`; see [all cores of one machine](deployment.md#all-cores-of-one-machine)',
    config: 'workers',
  },
  ALLOWED_ORIGINS: {
    schema: origins,
    default: '*',
    description:
      'origins of the web pages that may use the service, such as `https://app.example`, separated by commas; `*` allows all. Clients that are not web pages send no origin and are not affected',
    config: 'allowedOrigins',
  },
  DATABASE_URL: {
    schema: url('postgres:', 'postgresql:'),
    description:
      'PostgreSQL, `postgres://…`; with `?sslmode=verify-full` over TLS. If it is not set, the node uses the embedded database',
    fromFile: true,
  },
  DATABASE_POOL_SIZE: {
    schema: wholeNumber({ min: 2, max: 1_000 }),
    default: '10',
    description: 'maximum number of connections to PostgreSQL, of each worker',
    config: 'database.poolSize',
    formerName: 'DATABASE_POOL',
  },
  DATABASE_TIMEOUT_SECONDS: {
    schema: seconds({ max: 600 }),
    default: '10',
    unit: 'seconds',
    description: 'maximum duration of one statement',
    config: 'database.statementTimeoutMs',
  },
  REDIS_URL: {
    schema: redisUrls,
    description:
      'Redis between several nodes, `redis://…` or `rediss://…`; for a Cluster, one or several addresses separated by commas. If it is not set, the node runs alone',
    fromFile: true,
  },
  REDIS_ADAPTER: {
    schema: choice('auto', 'sharded', 'classic'),
    default: 'auto',
    description:
      '`sharded` (Redis 7 or Valkey: a node receives only the rooms that it serves), `classic` (any Redis), or `auto`; the same on all nodes',
    config: 'redis.adapter',
  },
  REDIS_PREFIX: {
    schema: z.string().regex(/^[A-Za-z0-9_.:-]{1,64}$/, 'must be 1 to 64 of A-Z a-z 0-9 _ . : -'),
    default: 'nano',
    description:
      'prefix of all names in Redis. Services with different databases do not collide anyway; copies of one database do',
    config: 'redis.prefix',
  },
  DATA_DIR: {
    schema: text,
    default: '.data',
    description: 'directory of the embedded database and its key',
    config: 'dataDirectory',
  },
  JWT_SECRET: {
    schema: jwtSecrets,
    description:
      'HS256 secret, at least 32 bytes: `openssl rand -base64 32`; several, separated by commas, during a change of the secret',
    fromFile: true,
  },
  JWT_PUBLIC_KEY: {
    schema: publicKey,
    description: 'RSA (at least 2,048 bits) or P-256 public key in PEM; `\\n` may stand for line ends',
    fromFile: true,
  },
  JWT_JWKS_URL: { schema: url('https:'), description: "address of the issuer's key set, `https://…`" },
  JWT_AUDIENCE: {
    schema: list,
    description: 'accepted `aud`, several separated by commas; if it is not set, `aud` is not checked',
    config: 'tokens.audiences',
  },
  JWT_ISSUER: {
    schema: list,
    description: 'accepted `iss`, several separated by commas; if it is not set, `iss` is not checked',
    config: 'tokens.issuers',
  },
  ROOM_CREATE_LEVEL: {
    schema: wholeNumber(),
    default: '100',
    description: 'minimum `levelOnEntity` for creating rooms',
    config: 'roomCreateLevel',
  },
  MAX_CONTENT_BYTES: {
    schema: wholeNumber(),
    default: '8192',
    unit: 'bytes',
    description: "maximum size of a message's content",
    zeroIsOff: true,
    config: 'limits.contentBytes',
  },
  MAX_CUSTOM_BYTES: {
    schema: wholeNumber(),
    default: '4096',
    unit: 'bytes',
    description: "maximum size of a message's custom data, as JSON",
    zeroIsOff: true,
    config: 'limits.customBytes',
  },
  EDIT_SECONDS: {
    schema: wholeNumber(),
    default: '0',
    unit: 'seconds',
    description: 'how long after its sending a message may be edited',
    zeroIsOff: true,
    config: 'editSeconds',
  },
  MAX_FRAME_BYTES: {
    schema: wholeNumber(),
    default: '65536',
    unit: 'bytes',
    description: 'maximum size of a frame, a packet and a REST body',
    zeroIsOff: true,
    config: 'limits.frameBytes',
  },
  MAX_ROOMS_PER_CONNECTION: {
    schema: wholeNumber(),
    default: '128',
    description: 'rooms that one Socket.IO connection may join',
    zeroIsOff: true,
    config: 'limits.roomsPerConnection',
  },
  MAX_CONNECTIONS_PER_USER: {
    schema: wholeNumber(),
    default: '20',
    description: 'live connections of one user',
    zeroIsOff: true,
    config: 'limits.connectionsPerUser',
  },
  MAX_UNAUTHENTICATED_CONNECTIONS: {
    schema: wholeNumber(),
    default: '10000',
    description: 'live connections without a token; beyond it the oldest of them is closed',
    zeroIsOff: true,
    config: 'limits.unauthenticatedConnections',
    formerName: 'MAX_UNAUTHENTICATED',
  },
  MAX_CONNECTIONS: {
    schema: wholeNumber(),
    default: '30000',
    description: 'connections to the port, plain HTTP included; further ones are closed at once',
    zeroIsOff: true,
    config: 'http.maxConnections',
  },
  MAX_SEND_BUFFER_BYTES: {
    schema: wholeNumber(),
    default: '1048576',
    unit: 'bytes',
    description: 'data that one connection may leave unread before it is closed',
    zeroIsOff: true,
    config: 'limits.sendBufferBytes',
    formerName: 'MAX_UNSENT_BYTES',
  },
  MAX_RULES_PER_ROOM: {
    schema: wholeNumber(),
    default: '1000',
    description: 'upper bound of `max_entity_rules`',
    zeroIsOff: true,
    config: 'limits.rulesPerRoom',
  },
  SEND_RATE: {
    schema: wholeNumber(),
    default: '20',
    unit: 'per second',
    description: 'messages of one user, on average',
    zeroIsOff: true,
    config: 'limits.sendRate',
  },
  SEND_BURST: {
    schema: wholeNumber({ min: 1 }),
    default: '100',
    description: 'messages of one user in one window of `SEND_BURST` / `SEND_RATE` seconds',
    config: 'limits.sendBurst',
  },
  READ_RATE: {
    schema: wholeNumber(),
    default: '10',
    unit: 'per second',
    description: 'read marks, personal settings and inbox requests of one user, on average; twice as many at once',
    zeroIsOff: true,
    config: 'limits.readRate',
  },
  REQUEST_RATE: {
    schema: wholeNumber(),
    default: '100',
    unit: 'per second',
    description:
      "tokens added to a user's bucket, from which every request except a message takes [what it costs](../protocol/limits.md#requests-of-one-user)",
    zeroIsOff: true,
    config: 'limits.requestRate',
  },
  REQUEST_BURST: {
    schema: wholeNumber({ min: 1 }),
    default: '3000',
    description: 'tokens in a full bucket',
    config: 'limits.requestBurst',
  },
  RULE_RATE: {
    schema: wholeNumber(),
    default: '60',
    unit: 'per minute',
    description:
      'new rules that other users may give one user or entity, on average; at most half of them by one giver',
    zeroIsOff: true,
    config: 'limits.ruleRate',
  },
  RULE_BURST: {
    schema: wholeNumber({ min: 1 }),
    default: '200',
    description: 'new rules that other users may give one user or entity at once',
    config: 'limits.ruleBurst',
  },
  MAX_ROOMS_PER_CREATOR: {
    schema: wholeNumber(),
    default: '10000',
    description: 'rooms of one `user_owner`',
    zeroIsOff: true,
    config: 'limits.roomsPerCreator',
  },
  INBOX_ITEMS_PER_SECOND: {
    schema: wholeNumber(),
    default: '5000',
    unit: 'per second',
    description:
      'items of open inboxes that this node reads; beyond it every inbox learns of changes later, by up to 10 seconds',
    zeroIsOff: true,
    config: 'limits.inboxItemsPerSecond',
  },
  AUTH_TIMEOUT_SECONDS: {
    schema: seconds(),
    default: '60',
    unit: 'seconds',
    description: 'how long a live connection may stay open without a valid token',
    config: 'authTimeoutMs',
    formerName: 'TOKEN_SECONDS',
  },
  HTTP_KEEP_ALIVE_SECONDS: {
    schema: seconds(),
    default: '75',
    unit: 'seconds',
    description: 'how long an idle HTTP connection stays open for the next request; longer than the balancer keeps it',
    config: 'http.keepAliveMs',
  },
  PING_INTERVAL_SECONDS: {
    schema: seconds(),
    default: '25',
    unit: 'seconds',
    description: 'time between two pings of a live connection',
    config: 'pingIntervalMs',
    formerName: 'PING_SECONDS',
  },
  SWEEP_SECONDS: {
    schema: seconds(),
    default: '2',
    unit: 'seconds',
    description: 'how often a node reconciles the rooms that it serves with the room log',
    config: 'reconcileIntervalMs',
  },
  DRAIN_TIMEOUT_SECONDS: {
    schema: seconds({ min: 0 }),
    default: '15',
    unit: 'seconds',
    description: 'maximum duration of a drain',
    config: 'drainTimeoutMs',
    formerName: 'DRAIN_SECONDS',
  },
  NODE_NAME: {
    schema: z.string().regex(/^[a-z0-9-]{1,63}$/, 'must be 1 to 63 of a-z, 0-9 and -'),
    description:
      'name of the node, different on each: 1 to 63 of `a-z`, `0-9` and `-`. The balancer finds the node of a long-polling session by it',
    config: 'nodeName',
  },
  METRICS_PORT: {
    schema: port,
    description: 'port that serves `/metrics` instead of `PORT`; 0 chooses a free one',
    config: 'metrics.port',
  },
  METRICS_TOKEN: {
    schema: metricsToken,
    description: 'bearer token that `/metrics` requires, at least 16 bytes',
    fromFile: true,
    config: 'metrics.token',
  },
  ADMIN_TOKEN: {
    schema: adminTokens,
    description:
      'bearer token of your backend for `/admin`, at least 32 bytes of ASCII without spaces and commas; several, separated by commas, while you replace one. If it is not set, `/admin` does not exist',
    fromFile: true,
    config: 'admin.tokens',
  },
  ADMIN_PORT: {
    schema: port,
    description: 'port that serves `/admin` instead of `PORT`; 0 chooses a free one. Needs `ADMIN_TOKEN`',
    config: 'admin.port',
  },
  WEBHOOKS: {
    schema: webhookEndpoints,
    description:
      'endpoints of your backend that receive the changes of all rooms: a JSON list of `{ "name", "url", "secret", "events"?, "timeout_seconds"? }`, or `@/path/to/file`; the same on all nodes. See [webhooks](../guides/webhooks.md)',
  },
  WEBHOOK_RETRY_HOURS: {
    schema: wholeNumber({ min: 1, max: 720 }),
    default: '72',
    unit: 'hours',
    description: 'how long a webhook retries a room that its endpoint refuses; then the room is parked',
    config: 'webhookRetryHours',
  },
  PRESENCE: {
    schema: choice('on', 'off'),
    default: 'on',
    description: 'whether clients can see who is present in a room; `off` answers `null` instead',
  },
  PLAYGROUND: {
    schema: choice('auto', 'on', 'off'),
    default: 'auto',
    description:
      'the playground page at `/`: `on`, `off`, or `auto`, which is `on` if the node uses the key that it made for the embedded database',
  },
  LOG_FORMAT: {
    schema: choice('auto', 'json', 'pretty'),
    default: 'auto',
    description: '`json`, `pretty` for people, or `auto`, which is `pretty` in a terminal',
    config: 'logFormat',
  },
  LOG_LEVEL: {
    schema: choice('fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'),
    default: 'info',
    description: '`fatal`, `error`, `warn`, `info`, `debug`, `trace` or `silent`',
    config: 'logLevel',
  },
} as const satisfies Record<string, Setting>;

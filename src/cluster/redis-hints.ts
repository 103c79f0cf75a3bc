/** What to do about a failure of Redis, by what its message says. The first row that fits. */
const hints: readonly [RegExp, string][] = [
  [
    /NOPERM|executing the script can't run/,
    'The account in REDIS_URL lacks a permission: compare `ACL GETUSER` with the rule in docs/operations/requirements.md',
  ],
  [/WRONGPASS|NOAUTH|invalid password/, 'The user or the password in REDIS_URL is wrong'],
  [
    /^READONLY|is a replica|read only replica/,
    'REDIS_URL must lead to the master: check where its name resolves to, and whether a failover is under way',
  ],
  [/OOM/, 'Redis has reached maxmemory: raise it, or use an eviction policy that frees other keys'],
  [/MISCONF/, 'Redis cannot save to its disk and refuses writes: see its log; this service needs no persistence'],
  [/NOREPLICAS/, 'Redis has fewer replicas than min-replicas-to-write'],
  [/LOADING/, 'Redis is loading its data; it answers when that is done'],
  [/MASTERDOWN/, 'REDIS_URL leads to a replica whose master is down'],
  [/DENIED|protected mode/, 'Redis is in protected mode: set a password, or bind it to an address of its own'],
  [/max number of clients/, 'Redis has reached maxclients: a node takes two connections'],
  [/CLUSTERDOWN|NodeIsNotReady|RootNodesUnavailable/i, 'The Redis Cluster is not complete: see CLUSTER INFO'],
  [/DB index|SELECT is not allowed/, 'The number at the end of REDIS_URL is no database of this Redis'],
  [
    /unknown command/,
    'This Redis lacks a command: the sharded adapter takes Redis 7 or Valkey; REDIS_ADAPTER=classic takes 6.2',
  ],
  [
    /ERR_TLS_CERT_ALTNAME|altnames/,
    'The certificate is for another name than the one in REDIS_URL: use the name that the certificate has',
  ],
  [
    /certificate|CERT_/i,
    'The certificate of Redis is not trusted: NODE_EXTRA_CA_CERTS names the file of your own authority',
  ],
  [
    /wrong version number|SSL|EPROTO/,
    'One side speaks TLS and the other does not: rediss:// is with TLS, redis:// without',
  ],
  [
    /Socket closed|ECONNRESET|Connection timeout/,
    'Redis, or something before it, closed the connection: it ended or restarted, a limit was reached (client-output-buffer-limit, timeout), or only one side uses TLS (rediss://)',
  ],
  [/does not answer/, 'Redis is paused, frozen or busy, or the network drops its packets'],
];

export function findHint(error: unknown): { hint?: string } {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  const text = `${String(message ?? error)} ${String(code ?? '')}`;
  const hint = hints.find(([pattern]) => pattern.test(text))?.[1];
  return hint === undefined ? {} : { hint };
}

import { createPrivateKey, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { loadEmbeddedSecret } from '../auth/embedded-secret.ts';
import { signToken } from '../auth/token-signing.ts';
import { readConfig } from '../config/config.ts';
import { Uuid } from '../core/ids.ts';

const usage = `npm run token -- [options], or npx nano-messaging token [options]: prints a token that this configuration accepts

  --user UUID          the user; random if it is missing
  --entity UUID        the user's organisation
  --level N            the user's level in it (0)
  --scope TEXT         for example rooms:create
  --days N             how long it is valid (1); 0: forever
  --private-key FILE   signs with this key in PEM, for JWT_PUBLIC_KEY or JWT_JWKS_URL
  --kid ID             names that key, for JWT_JWKS_URL`;

function readOptions() {
  const { values } = parseArgs({
    options: {
      user: { type: 'string' },
      entity: { type: 'string' },
      level: { type: 'string', default: '0' },
      scope: { type: 'string' },
      days: { type: 'string', default: '1' },
      'private-key': { type: 'string' },
      kid: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (!/^-?\d+$/.test(values.level)) throw new Error('--level must be an integer');
  if (!/^\d+$/.test(values.days)) throw new Error('--days must be a whole number');
  const parseUuid = (name: 'user' | 'entity') => {
    const given = values[name];
    if (given === undefined) return undefined;
    const parsed = Uuid.safeParse(given);
    if (!parsed.success) throw new Error(`--${name} must be a UUID`);
    return parsed.data;
  };
  return { ...values, user: parseUuid('user') ?? randomUUID(), entity: parseUuid('entity') };
}

type Options = ReturnType<typeof readOptions>;

/** Returns the signing key and its algorithm. Throws if this configuration has only a public key. */
function loadSigningKey({ 'private-key': file }: Options, config: ReturnType<typeof readConfig>) {
  const { keys } = config.tokens;
  if (file !== undefined) {
    const key = createPrivateKey(readFileSync(file));
    return { key, alg: key.asymmetricKeyType === 'ec' ? 'ES256' : 'RS256' };
  }
  switch (keys.source) {
    case 'embedded':
      return { key: Buffer.from(loadEmbeddedSecret(config.dataDirectory)), alg: 'HS256' };
    case 'secrets':
      return { key: Buffer.from(keys.secrets[0]!), alg: 'HS256' };
    default:
      throw new Error(
        'This configuration holds the public key only, which cannot sign. ' +
          'Give the private one with --private-key FILE, or have your own backend sign the token.',
      );
  }
}

async function main(): Promise<void> {
  const options = readOptions();
  if (options.help) return console.log(usage);
  const config = readConfig(process.env);
  for (const warning of config.warnings) console.error(warning);
  const { user, entity, scope, kid } = options;
  const claims = { userUUID: user, entityUUID: entity, levelOnEntity: Number(options.level), scope };
  const seconds = options.days === '0' ? undefined : Number(options.days) * 86_400;
  console.log(await signToken({ claims, seconds }, { ...loadSigningKey(options, config), kid }, config));
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});

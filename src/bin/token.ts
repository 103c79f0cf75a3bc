import { createPrivateKey, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { loadEmbeddedSecret } from '../auth/embedded-secret.ts';
import { signToken } from '../auth/token-signing.ts';
import { readConfig } from '../config/config.ts';
import { NonNilUuid, Uuid } from '../core/ids.ts';

const usage = `npm run token -- [options], or npx nano-messaging token [options]

Prints a token for a user. A server with the same settings accepts the token.

  --user UUID          the user (default: a random UUID)
  --entity UUID        the organisation of the user (default: none)
  --level N            the level of the user in the organisation (default: 0)
  --scope TEXT         the scope of the token, such as rooms:create (default: none)
  --days N             the number of days for which the token is valid, or 0 for a token that never expires (default: 1)
  --private-key FILE   the private key to sign with, in PEM. Required with JWT_PUBLIC_KEY or JWT_JWKS_URL
  --kid ID             the id of the private key in the key set, for JWT_JWKS_URL
  --help               prints this text`;

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
    const parsed = (name === 'user' ? NonNilUuid : Uuid).safeParse(given);
    if (!parsed.success) throw new Error(`--${name} ${parsed.error.issues[0]!.message}`);
    return parsed.data;
  };
  return { ...values, user: parseUuid('user') ?? randomUUID(), entity: parseUuid('entity') };
}

type Options = ReturnType<typeof readOptions>;

/** Returns the signing key and its algorithm. Throws an error if the settings contain only a public key. */
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
        'The settings contain only a public key, and a public key cannot sign tokens. ' +
          'Give the private key with --private-key FILE, or let your own backend sign the token.',
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

import { generateKeyPairSync } from 'node:crypto';
import { expect } from 'chai';
import { ConfigError, readConfig } from '../../src/config.ts';

const database = 'postgres://chat@127.0.0.1/chat';
const secret = { JWT_SECRET: 'a secret for tests' };

function mistakesOf(env: Record<string, string>): string[] {
  try {
    readConfig(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.mistakes;
    throw error;
  }
  return [];
}

function pem(type: 'rsa' | 'P-256' | 'P-384' | 'ed25519'): string {
  const encoding = { type: 'spki', format: 'pem' } as const;
  const { publicKey } =
    type === 'rsa'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : type === 'ed25519'
        ? generateKeyPairSync('ed25519')
        : generateKeyPairSync('ec', { namedCurve: type });
  return publicKey.export(encoding) as string;
}

describe('configuration', () => {
  it('with nothing set is the embedded default: PGlite in .data, its own key, loopback, port 7777', () => {
    const { host, port, database, tokens } = readConfig({});
    expect({ host, port, database, keys: tokens.keys }).to.deep.equal({
      host: '127.0.0.1',
      port: 7777,
      database: { mode: 'embedded', directory: '.data' },
      keys: { source: 'embedded' },
    });
  });

  it('has the limits of the specification', () => {
    expect(readConfig({})).to.deep.include({ tokenDeadlineMs: 60_000, sweepMs: 2_000, roomCreateLevel: 100 });
    expect(readConfig({}).limits).to.deep.include({
      contentBytes: 8_192,
      frameBytes: 65_536,
      roomsPerConnection: 128,
      connectionsPerUser: 20,
      unsentBytes: 1_048_576,
    });
  });

  it('listens on every address once there is a PostgreSQL, unless HOST says otherwise', () => {
    expect(readConfig({ DATABASE_URL: database, ...secret }).host).to.equal('0.0.0.0');
    expect(readConfig({ DATABASE_URL: database, ...secret, HOST: '127.0.0.1' }).host).to.equal('127.0.0.1');
  });

  it('names every mistake at once', () => {
    const env = { PORT: 'http', DATABASE_URL: 'mysql://db', MAX_CONTENT_BYTES: '-1', SWEEP_SECONDS: '0', ...secret };
    const named = mistakesOf({ ...env, LOG_LEVEL: 'loud', JWT_JWKS_URL: 'http://keys' }).join('\n');
    for (const name of ['PORT', 'DATABASE_URL', 'MAX_CONTENT_BYTES', 'SWEEP_SECONDS', 'LOG_LEVEL', 'JWT_JWKS_URL']) {
      expect(named).to.include(name);
    }
    expect(named, 'and that there are two sources of keys').to.match(/JWT_SECRET.*only one/);
  });

  it('says the mistakes in the message of the error', () => {
    expect(() => readConfig({ PORT: '99999', DRAIN_SECONDS: 'soon' })).to.throw(ConfigError, /PORT.*DRAIN_SECONDS/s);
  });

  const wrong: Record<string, string>[] = [
    { PORT: '65536' },
    { PORT: '7777.5' },
    { PORT: '0x10' },
    { PORT: ' 80' },
    { DATABASE_POOL: '1' },
    { MAX_FRAME_BYTES: '1e6' },
    { MAX_CONNECTIONS_PER_USER: 'many' },
    { SEND_RATE: '-5' },
    { TOKEN_SECONDS: '0' },
    { METRICS_TOKEN: 'short' },
    { NODE_NAME: 'Chat-1' },
    { NODE_NAME: 'chat.1' },
    { NODE_NAME: 'c'.repeat(33) },
    { ADMIN_TOKEN: 'thirty-one-bytes-are-not-enough' },
    { ADMIN_TOKEN: 'not even forty characters with blanks' },
    { ADMIN_TOKEN: 'sixteen-ümläüts-dö-nöt-fit-a-header' },
  ];
  for (const env of wrong) {
    const [[name, value]] = Object.entries(env) as [[string, string]];
    it(`refuses ${name}=${value}`, () => {
      expect(mistakesOf(env)).to.have.length(1);
      expect(mistakesOf(env)[0]).to.match(new RegExp(`^${name}: `));
    });
  }

  it('takes 0 as "no limit" where a limit may be off', () => {
    const off = readConfig({ MAX_CONTENT_BYTES: '0', SEND_RATE: '0', MAX_CONNECTIONS_PER_USER: '0' });
    expect(off.limits).to.include({ contentBytes: 0, sendRate: 0, connectionsPerUser: 0 });
  });

  it('takes an empty value as not set, as compose files give it', () => {
    expect(readConfig({ PORT: '', DATABASE_URL: '' })).to.deep.equal(readConfig({}));
  });

  it('has no administrator unless there is an ADMIN_TOKEN of 32 bytes', () => {
    const token = 'thirty-two-bytes-are-just-enough';
    expect(readConfig({ ADMIN_TOKEN: token }).adminToken)
      .to.equal(token)
      .and.to.have.length(32);
    for (const env of [{}, { ADMIN_TOKEN: '' }]) expect(readConfig(env).adminToken).to.equal(undefined);
  });

  it('does not keep the environment it was given', () => {
    const env: Record<string, string> = { PORT: '1234' };
    const config = readConfig(env);
    env.PORT = '4321';
    expect(config.port).to.equal(1234);
  });
});

describe('REDIS_URL', () => {
  const service = { DATABASE_URL: database, ...secret };

  it('is one server, or several nodes of a Cluster; the adapter and the prefix have defaults', () => {
    expect(readConfig(service).redis).to.equal(undefined);
    const urls = ['rediss://chat:p%40ss@redis.example:6380', 'redis://10.0.0.2'];
    expect(readConfig({ ...service, REDIS_URL: urls.join(', ') }).redis).to.deep.equal({
      urls,
      adapter: 'auto',
      prefix: 'nano',
    });
  });

  it('without DATABASE_URL is named: nodes with a database each are no service', () => {
    expect(mistakesOf({ REDIS_URL: 'redis://127.0.0.1' }).join()).to.match(/^REDIS_URL: .*DATABASE_URL/);
  });

  const wrong: Record<string, string>[] = [
    { REDIS_URL: '127.0.0.1:6379' },
    { REDIS_URL: 'http://127.0.0.1' },
    { REDIS_URL: 'redis://one,' },
    { REDIS_URL: 'redis://one,two' },
    { REDIS_ADAPTER: 'streams' },
    { REDIS_PREFIX: 'a room*' },
    { REDIS_PREFIX: 'x'.repeat(65) },
  ];
  for (const env of wrong) {
    const [[name, value]] = Object.entries(env) as [[string, string]];
    it(`refuses ${name}=${value}`, () => {
      const mistakes = mistakesOf({ ...service, ...env });
      expect(mistakes).to.have.length(1);
      expect(mistakes[0]).to.match(new RegExp(`^${name}`));
    });
  }

  it('shows no password in a mistake', () => {
    expect(mistakesOf({ ...service, REDIS_URL: 'http://:hush@redis' }).join()).to.not.include('hush');
  });
});

describe('the source of keys', () => {
  const key = (env: Record<string, string>) => readConfig({ DATABASE_URL: database, ...env }).tokens.keys;

  it('is several secrets while one is being rotated', () => {
    expect(key({ JWT_SECRET: 'new,old' })).to.deep.equal({ source: 'secrets', secrets: ['new', 'old'] });
  });

  it('pins RS256 for an RSA key and ES256 for a P-256 key', () => {
    expect(key({ JWT_PUBLIC_KEY: pem('rsa') })).to.include({ source: 'public_key', algorithm: 'RS256' });
    expect(key({ JWT_PUBLIC_KEY: pem('P-256') })).to.include({ source: 'public_key', algorithm: 'ES256' });
  });

  it('may have its line ends escaped, as in a compose file', () => {
    expect(key({ JWT_PUBLIC_KEY: pem('rsa').replaceAll('\n', '\\n') })).to.include({ algorithm: 'RS256' });
  });

  it('may be a JWKS over https', () => {
    expect(key({ JWT_JWKS_URL: 'https://id.example/jwks' })).to.deep.equal({
      source: 'jwks',
      url: 'https://id.example/jwks',
    });
  });

  const mistakes: Record<string, Record<string, string>> = {
    'none with a database': {},
    'an empty secret': { JWT_SECRET: '' },
    'an empty secret among others': { JWT_SECRET: 'new,,old' },
    'a secret of blanks': { JWT_SECRET: '  ' },
    'a public key as a secret': { JWT_SECRET: 'old,-----BEGIN PUBLIC KEY-----\\nMFkw\\n-----END PUBLIC KEY-----' },
    'an empty public key': { JWT_PUBLIC_KEY: '' },
    'a public key that is none': { JWT_PUBLIC_KEY: 'AAAA' },
    'a P-384 key': { JWT_PUBLIC_KEY: pem('P-384') },
    'an Ed25519 key': { JWT_PUBLIC_KEY: pem('ed25519') },
    'a JWKS over http': { JWT_JWKS_URL: 'http://id.example/jwks' },
    'an empty JWKS address': { JWT_JWKS_URL: '' },
    'a secret and a JWKS': { ...secret, JWT_JWKS_URL: 'https://id.example/jwks' },
    'a secret and an empty public key': { ...secret, JWT_PUBLIC_KEY: '' },
  };
  for (const [title, env] of Object.entries(mistakes)) {
    it(`refuses ${title}`, () => {
      expect(mistakesOf({ DATABASE_URL: database, ...env }).join()).to.include('JWT_');
    });
  }

  it('refuses an empty secret without a database too: nobody set it on purpose', () => {
    expect(mistakesOf({ JWT_SECRET: '' })).to.have.length.at.least(1);
  });

  it('keeps audience and issuer, several with commas', () => {
    const { audiences, issuers } = readConfig({ JWT_AUDIENCE: 'chat, app', JWT_ISSUER: 'api' }).tokens;
    expect({ audiences, issuers }).to.deep.equal({ audiences: ['chat', 'app'], issuers: ['api'] });
  });

  it('never shows a secret in a mistake', () => {
    const shown = mistakesOf({
      JWT_SECRET: 'hush,,hush',
      JWT_PUBLIC_KEY: 'hush',
      METRICS_TOKEN: 'hush',
      ADMIN_TOKEN: 'hush',
    }).join();
    expect(shown).not.to.include('hush');
  });
});

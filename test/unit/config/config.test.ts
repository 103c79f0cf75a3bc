import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { ConfigError, readConfig } from '../../../src/config/config.ts';
import { fileSettings, settingNames } from '../../../src/config/environment.ts';

const database = 'postgres://chat@127.0.0.1/chat';
const secret = { JWT_SECRET: 'a secret for the tests of the settings' };
const otherSecret = 'another secret for the tests of the settings';

function mistakesOf(env: Record<string, string>): string[] {
  try {
    readConfig(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.mistakes;
    throw error;
  }
  return [];
}

function pem(type: 'rsa' | 'rsa-1024' | 'P-256' | 'P-384' | 'ed25519'): string {
  const encoding = { type: 'spki', format: 'pem' } as const;
  const { publicKey } =
    type === 'rsa' || type === 'rsa-1024'
      ? generateKeyPairSync('rsa', { modulusLength: type === 'rsa' ? 2_048 : 1_024 })
      : type === 'ed25519'
        ? generateKeyPairSync('ed25519')
        : generateKeyPairSync('ec', { namedCurve: type });
  return publicKey.export(encoding) as string;
}

describe('The configuration', () => {
  it('defaults to PGlite in .data, a generated key, the loopback address and port 7777', () => {
    const { host, port, database, tokens } = readConfig({});
    expect({ host, port, database, keys: tokens.keys }).to.deep.equal({
      host: '127.0.0.1',
      port: 7777,
      database: { mode: 'embedded', directory: '.data' },
      keys: { source: 'embedded' },
    });
  });

  it('has the documented default limits', () => {
    expect(readConfig({})).to.deep.include({ authTimeoutMs: 60_000, reconcileIntervalMs: 2_000, roomCreateLevel: 100 });
    expect(readConfig({}).limits).to.deep.include({
      contentBytes: 8_192,
      frameBytes: 65_536,
      roomsPerConnection: 128,
      connectionsPerUser: 20,
      sendBufferBytes: 1_048_576,
    });
  });

  it('listens on every address with PostgreSQL unless HOST is set', () => {
    expect(readConfig({ DATABASE_URL: database, ...secret }).host).to.equal('::');
    expect(readConfig({ DATABASE_URL: database, ...secret, HOST: '127.0.0.1' }).host).to.equal('127.0.0.1');
  });

  it('reports all configuration mistakes at once', () => {
    const env = { PORT: 'http', DATABASE_URL: 'mysql://db', MAX_CONTENT_BYTES: '-1', SWEEP_SECONDS: '0', ...secret };
    const named = mistakesOf({ ...env, LOG_LEVEL: 'loud', JWT_JWKS_URL: 'http://keys' }).join('\n');
    for (const name of ['PORT', 'DATABASE_URL', 'MAX_CONTENT_BYTES', 'SWEEP_SECONDS', 'LOG_LEVEL', 'JWT_JWKS_URL']) {
      expect(named).to.include(name);
    }
    expect(named, 'two sources of keys').to.match(/JWT_SECRET.*only one/);
  });

  it('lists the configuration mistakes in the error message', () => {
    expect(() => readConfig({ PORT: '99999', DRAIN_TIMEOUT_SECONDS: 'soon' })).to.throw(
      ConfigError,
      /PORT.*DRAIN_TIMEOUT_SECONDS/s,
    );
  });

  const wrong: Record<string, string>[] = [
    { PORT: '65536' },
    { PORT: '7777.5' },
    { PORT: '0x10' },
    { PORT: ' 80' },
    { DATABASE_POOL_SIZE: '1' },
    { MAX_FRAME_BYTES: '1e6' },
    { MAX_CONNECTIONS_PER_USER: 'many' },
    { SEND_RATE: '-5' },
    { AUTH_TIMEOUT_SECONDS: '0' },
    { METRICS_TOKEN: 'short' },
    { NODE_NAME: 'Chat-1' },
    { NODE_NAME: 'chat.1' },
    { NODE_NAME: 'c'.repeat(64) },
    { METRICS_PORT: 'http://10.0.0.1:9090' },
    { LOG_FORMAT: 'xml' },
    { ADMIN_TOKEN: 'thirty-one-bytes-are-not-enough' },
    { ADMIN_TOKEN: 'not even forty characters with blanks' },
    { ADMIN_TOKEN: 'sixteen-ümläüts-dö-nöt-fit-a-header' },
    { ADMIN_TOKEN: 'a'.repeat(32) },
    { METRICS_TOKEN: 'abababababababab' },
    { METRICS_TOKEN: 'a token for the metrics\n' },
    { DATABASE_URL: `${database}\n` },
    { JWT_AUDIENCE: 'chat\n' },
    { HOST: '127.0.0.1\n' },
  ];
  for (const env of wrong) {
    const [[name, value]] = Object.entries(env) as [[string, string]];
    it(`refuses ${name}=${value}`, () => {
      const mistakes = mistakesOf({ ...secret, ...env });
      expect(mistakes).to.have.length(1);
      expect(mistakes[0]).to.match(new RegExp(`^${name}: `));
    });
  }

  const token = 'one-token-for-two-purposes-is-wrong';
  const contradictions: Record<string, [named: RegExp, env: Record<string, string>]> = {
    'content as large as a frame': [/^MAX_CONTENT_BYTES: .*MAX_FRAME_BYTES/, { MAX_CONTENT_BYTES: '65536' }],
    'a frame smaller than the default content': [/^MAX_CONTENT_BYTES: .*MAX_FRAME_BYTES/, { MAX_FRAME_BYTES: '4096' }],
    'content larger than the send buffer of a connection': [
      /^MAX_CONTENT_BYTES: .*MAX_SEND_BUFFER_BYTES/,
      { MAX_CONTENT_BYTES: '60000', MAX_SEND_BUFFER_BYTES: '50000' },
    ],
    'one port for two servers': [/^METRICS_PORT: .*PORT/, { METRICS_PORT: '7777' }],
    'one token for metrics and /admin': [
      /^METRICS_TOKEN: /,
      { METRICS_TOKEN: token, ADMIN_TOKEN: `another-token-for-the-administrator,${token}` },
    ],
    'one port for clients and /admin': [/^ADMIN_PORT: .*PORT/, { ADMIN_PORT: '7777', ADMIN_TOKEN: token }],
    'one port for metrics and /admin': [
      /^ADMIN_PORT: .*METRICS_PORT/,
      { ADMIN_PORT: '9000', METRICS_PORT: '9000', ADMIN_TOKEN: token },
    ],
    'a port for /admin without a token': [/^ADMIN_PORT: .*ADMIN_TOKEN/, { ADMIN_PORT: '9000' }],
    'the secret as a token': [
      /^ADMIN_TOKEN: .*JWT_SECRET/,
      { ADMIN_TOKEN: token, JWT_SECRET: `${otherSecret},${token}` },
    ],
  };
  for (const [title, [named, env]] of Object.entries(contradictions)) {
    it(`refuses ${title}`, () => {
      const mistakes = mistakesOf(env);
      expect(mistakes).to.have.length(1);
      expect(mistakes[0]).to.match(named);
    });
  }

  it('accepts limits that contradict each other if one of them is disabled', () => {
    const off = {
      MAX_FRAME_BYTES: '0',
      MAX_SEND_BUFFER_BYTES: '0',
      MAX_CONTENT_BYTES: '2000000',
      METRICS_PORT: '0',
      PORT: '0',
    };
    expect(readConfig(off).limits).to.include({ contentBytes: 2_000_000 });
  });

  it('treats 0 as "no limit" if the limit can be disabled', () => {
    const off = readConfig({ MAX_CONTENT_BYTES: '0', SEND_RATE: '0', MAX_CONNECTIONS_PER_USER: '0' });
    expect(off.limits).to.include({ contentBytes: 0, sendRate: 0, connectionsPerUser: 0 });
  });

  it('treats an empty value as not set, because compose files pass empty values', () => {
    expect(readConfig({ PORT: '', DATABASE_URL: '' })).to.deep.equal(readConfig({}));
  });

  it('ignores the link of a Kubernetes service that has the name of a setting, and warns of it', () => {
    const { metrics, port, warnings } = readConfig({
      METRICS_PORT: 'tcp://10.96.14.7:9090',
      PORT: 'udp://10.0.0.1:53',
    });
    expect({ metrics, port }).to.deep.equal({ metrics: readConfig({}).metrics, port: 7777 });
    expect(warnings.join()).to.match(/METRICS_PORT.*enableServiceLinks.*,PORT/);
  });

  it('accepts a NODE_NAME of 63 characters, the maximum length of a pod name', () => {
    expect(readConfig({ NODE_NAME: 'c'.repeat(63) }).nodeName).to.have.length(63);
  });

  it('has an administrator token only if ADMIN_TOKEN is set, to at least 32 bytes', () => {
    const token = 'thirty-two-bytes-are-just-enough';
    expect(readConfig({ ADMIN_TOKEN: token }).admin.tokens).to.deep.equal([token]);
    expect(token).to.have.length(32);
    for (const env of [{}, { ADMIN_TOKEN: '' }]) expect(readConfig(env).admin.tokens).to.equal(undefined);
  });

  it('accepts several administrator tokens, and checks each of them', () => {
    const tokens = ['the-new-token-of-the-administrator', 'the-old-token-of-the-administrator'];
    expect(readConfig({ ADMIN_TOKEN: tokens.join(',') }).admin.tokens).to.deep.equal(tokens);
    expect(mistakesOf({ ADMIN_TOKEN: `${tokens[0]},short` })).to.match(/^ADMIN_TOKEN: must have at least 32 bytes/);
    expect(mistakesOf({ ADMIN_TOKEN: `${tokens[0]},` })).to.match(/^ADMIN_TOKEN: /);
  });

  it('does not change with the environment after it is read', () => {
    const env: Record<string, string> = { PORT: '1234' };
    const config = readConfig(env);
    env.PORT = '4321';
    expect(config.port).to.equal(1234);
  });
});

describe('WORKERS', () => {
  const service = { ...secret, DATABASE_URL: database };

  it('is one process by default, a number, or one process for each core', () => {
    expect(readConfig(service).workers).to.equal(1);
    expect(readConfig({ ...service, WORKERS: '3' }).workers).to.equal(3);
    expect(readConfig({ ...service, WORKERS: 'auto' }).workers).to.equal(availableParallelism());
  });

  for (const WORKERS of ['2', 'auto']) {
    it(`${WORKERS} is refused with the embedded database, which only one process can use`, () => {
      expect(mistakesOf({ WORKERS }).join()).to.match(/^WORKERS: .*DATABASE_URL/);
    });
  }

  for (const WORKERS of ['0', '257', 'all']) {
    it(`must not be ${WORKERS}`, () => {
      expect(mistakesOf({ ...service, WORKERS }).join()).to.match(/^WORKERS: must be /);
    });
  }
});

describe('REDIS_URL', () => {
  const service = { DATABASE_URL: database, ...secret };

  it('accepts several Redis Cluster nodes in REDIS_URL, with a default adapter and prefix', () => {
    expect(readConfig(service).redis).to.equal(undefined);
    const urls = ['rediss://chat:p%40ss@redis.example:6380', 'redis://10.0.0.2'];
    expect(readConfig({ ...service, REDIS_URL: urls.join(', ') }).redis).to.deep.equal({
      urls,
      adapter: 'auto',
      prefix: 'nano',
    });
  });

  it('refuses REDIS_URL without DATABASE_URL, because nodes of a service share a database', () => {
    expect(mistakesOf({ REDIS_URL: 'redis://127.0.0.1' }).join()).to.match(/^REDIS_URL: .*DATABASE_URL/);
  });

  const wrong: Record<string, string>[] = [
    { REDIS_URL: '127.0.0.1:6379' },
    { REDIS_URL: 'http://127.0.0.1' },
    { REDIS_URL: 'redis://one/cache' },
    { REDIS_URL: 'redis://one/1/2' },
    { REDIS_URL: 'redis://nano:100%@one' },
    { REDIS_URL: 'redis://one/1,redis://two/1' },
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

  it('never shows the password of REDIS_URL in a mistake', () => {
    expect(mistakesOf({ ...service, REDIS_URL: 'http://:hush@redis' }).join()).to.not.include('hush');
  });
});

describe('The source of keys', () => {
  const key = (env: Record<string, string>) => readConfig({ DATABASE_URL: database, ...env }).tokens.keys;

  it('accepts several secrets in JWT_SECRET for a rotation', () => {
    const secrets = [secret.JWT_SECRET, otherSecret];
    expect(key({ JWT_SECRET: secrets.join(',') })).to.deep.equal({ source: 'secrets', secrets });
    expect(key({ JWT_SECRET: secrets.join(', ') })).to.deep.equal({ source: 'secrets', secrets });
  });

  it('pins RS256 for an RSA key and ES256 for a P-256 key', () => {
    expect(key({ JWT_PUBLIC_KEY: pem('rsa') })).to.include({ source: 'public_key', algorithm: 'RS256' });
    expect(key({ JWT_PUBLIC_KEY: pem('P-256') })).to.include({ source: 'public_key', algorithm: 'ES256' });
  });

  it('accepts a JWT_PUBLIC_KEY with escaped line ends, as in a compose file', () => {
    expect(key({ JWT_PUBLIC_KEY: pem('rsa').replaceAll('\n', '\\n') })).to.include({ algorithm: 'RS256' });
  });

  it('accepts a JWKS over https', () => {
    expect(key({ JWT_JWKS_URL: 'https://id.example/jwks' })).to.deep.equal({
      source: 'jwks',
      url: 'https://id.example/jwks',
    });
  });

  const mistakes: Record<string, Record<string, string>> = {
    'a missing key with PostgreSQL': {},
    'an empty secret': { JWT_SECRET: '' },
    'an empty secret among others': { JWT_SECRET: `${secret.JWT_SECRET},,${otherSecret}` },
    'a secret of 31 bytes': { JWT_SECRET: 'thirty-one-bytes-are-not-enough' },
    'a secret of 31 bytes among others': { JWT_SECRET: `${otherSecret},thirty-one-bytes-are-not-enough` },
    'a secret of one letter': { JWT_SECRET: 'a'.repeat(64) },
    'a secret that repeats a word': { JWT_SECRET: 'password'.repeat(8) },
    'the secret of an earlier README': { JWT_SECRET: 'the-secret-your-backend-signs-with' },
    'a secret with a line end': { JWT_SECRET: `${secret.JWT_SECRET}\n` },
    'a secret of blanks': { JWT_SECRET: '  ' },
    'a public key as a secret': { JWT_SECRET: 'old,-----BEGIN PUBLIC KEY-----\\nMFkw\\n-----END PUBLIC KEY-----' },
    'an empty public key': { JWT_PUBLIC_KEY: '' },
    'a public key that is not PEM': { JWT_PUBLIC_KEY: 'AAAA' },
    'an RSA key of 1,024 bits': { JWT_PUBLIC_KEY: pem('rsa-1024') },
    'a P-384 key': { JWT_PUBLIC_KEY: pem('P-384') },
    'an Ed25519 key': { JWT_PUBLIC_KEY: pem('ed25519') },
    'a JWKS over http': { JWT_JWKS_URL: 'http://id.example/jwks' },
    'an empty JWKS address': { JWT_JWKS_URL: '' },
    'a secret and a JWKS': { ...secret, JWT_JWKS_URL: 'https://id.example/jwks' },
    'a secret and an empty public key': { ...secret, JWT_PUBLIC_KEY: '' },
  };
  for (const [title, env] of Object.entries(mistakes)) {
    it(`refuses ${title}`, () => {
      const mistakes = mistakesOf({ DATABASE_URL: database, ...env });
      expect(mistakes).to.have.length.at.least(1);
      for (const mistake of mistakes) expect(mistake).to.match(/^(JWT_\w+, )*JWT_\w+: /);
    });
  }

  it('refuses an empty secret with the embedded database too, because nobody sets it on purpose', () => {
    expect(mistakesOf({ JWT_SECRET: '' })).to.have.length.at.least(1);
  });

  it('reads JWT_AUDIENCE and JWT_ISSUER as lists separated by commas', () => {
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

describe('Settings in files', () => {
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'nano-settings-'));
  });

  afterEach(() => rmSync(directory, { recursive: true }));

  function file(content: string | Buffer, name = 'secret'): string {
    const path = join(directory, name);
    writeFileSync(path, content);
    return path;
  }

  it('reads every URL with a password, every key and every token from a file', () => {
    const rsa = pem('rsa');
    const values: Record<(typeof fileSettings)[number], string> = {
      DATABASE_URL: database,
      REDIS_URL: 'redis://:password@127.0.0.1',
      JWT_SECRET: secret.JWT_SECRET,
      JWT_PUBLIC_KEY: rsa,
      ADMIN_TOKEN: 'an-admin-token-from-a-file-for-tests',
      METRICS_TOKEN: 'a metrics token from a file',
    };
    const { JWT_PUBLIC_KEY: _, ...withSecret } = values;
    const { JWT_SECRET: __, ...withKey } = values;
    for (const env of [withSecret, withKey]) {
      const inFiles = Object.entries(env).map(([name, value]) => [`${name}_FILE`, file(`${value}\n`, name)]);
      const plain = readConfig(env);
      const config = readConfig(Object.fromEntries(inFiles));
      if (plain.tokens.keys.source === 'public_key') {
        expect(config.tokens.keys).to.include({ source: 'public_key', algorithm: 'RS256' });
        plain.tokens.keys = config.tokens.keys;
      }
      expect(config).to.deep.equal(plain);
    }
  });

  it('lists each file setting beside its plain setting', () => {
    for (const name of fileSettings) expect(settingNames).to.include.members([name, `${name}_FILE`]);
  });

  for (const end of ['', '\n', '\r\n', '\n\n']) {
    it(`removes trailing line ends from the content of a setting file: ${JSON.stringify(end)}`, () => {
      const { keys } = readConfig({ JWT_SECRET_FILE: file(secret.JWT_SECRET + end) }).tokens;
      expect(keys).to.deep.equal({ source: 'secrets', secrets: [secret.JWT_SECRET] });
    });
  }

  const wrong: Record<string, [because: RegExp, path: () => string]> = {
    'a setting file that does not exist': [/does not exist/, () => join(directory, 'missing')],
    'a directory instead of a setting file': [/is a directory/, () => directory],
    'an empty setting file': [/is empty/, () => file('\n')],
    'a setting file that is not text': [/not UTF-8/, () => file(Buffer.from([0xff, 0xfe, 0x41]))],
    'a setting file of two lines': [/line ends/, () => file(`${secret.JWT_SECRET}\n${otherSecret}`)],
    'a setting file with a byte order mark': [/control characters/, () => file(`\u{feff}${secret.JWT_SECRET}`)],
    'a named pipe, which may never have a writer': [
      /is a named pipe/,
      () => {
        const path = join(directory, 'pipe');
        execFileSync('mkfifo', [path]);
        return path;
      },
    ],
    'an endless file': [/has more than/, () => '/dev/zero'],
    'a short secret in a file': [/at least 32 bytes/, () => file('hush')],
    'an empty path to a secret': [/must be the path/, () => ''],
  };
  for (const [title, [because, path]] of Object.entries(wrong)) {
    it(`refuses ${title} with the name of the setting and without the content`, () => {
      const mistakes = mistakesOf({ JWT_SECRET_FILE: path() });
      expect(mistakes).to.have.length(1);
      expect(mistakes[0])
        .to.match(/^JWT_SECRET_FILE: /)
        .and.match(because);
      expect(mistakes[0]).to.not.include('hush');
    });
  }

  it('refuses a setting that is set both directly and as a file', () => {
    const mistakes = mistakesOf({ ...secret, JWT_SECRET_FILE: file(otherSecret) });
    expect(mistakes.join()).to.match(/JWT_SECRET_FILE: JWT_SECRET is set/);
  });

  it('treats an empty path of a setting file as not set, except for a key', () => {
    expect(readConfig({ DATABASE_URL_FILE: '', ADMIN_TOKEN_FILE: '' })).to.deep.equal(readConfig({}));
  });

  it('does not read the key files for a command that verifies no tokens', () => {
    const env = { DATABASE_URL_FILE: file(database), JWT_SECRET_FILE: join(directory, 'missing') };
    expect(readConfig(env, { needsKeys: false }).database).to.include({ databaseUrl: database });
  });
});

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { CORE_SCHEMA, load, mergeTag } from 'js-yaml';
import { z } from 'zod';
import { readConfig } from '../../../src/config/config.ts';
import { environment } from '../../../src/config/environment.ts';
import { aptInstall } from '../../helpers/debian.ts';

const root = new URL('../../../', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), 'utf8');
const text = read('docker-compose.yml');

/** No maintained package carries the schema of the Compose specification; this is the part that the file uses. */
const duration = z.string().regex(/^\d+(ms|s|m|h)$/);
const healthcheck = z.strictObject({
  test: z.tuple([z.enum(['CMD', 'CMD-SHELL'])], z.string()),
  interval: duration,
  timeout: duration,
  retries: z.int(),
});
const capabilities = z.array(z.string().regex(/^(ALL|[A-Z_]+)$/));
const Service = z.strictObject({
  image: z.string(),
  build: z.string().optional(),
  cap_add: capabilities.optional(),
  cap_drop: capabilities,
  command: z.array(z.string()).optional(),
  depends_on: z.record(z.string(), z.strictObject({ condition: z.literal('service_healthy') })).optional(),
  environment: z.record(z.string(), z.string().nullable()).optional(),
  healthcheck: healthcheck.optional(),
  mem_limit: z
    .string()
    .regex(/^\d+[mg]$/)
    .optional(),
  networks: z.strictObject({ default: z.strictObject({ ipv4_address: z.ipv4() }) }).optional(),
  pids_limit: z.int().optional(),
  ports: z.array(z.string().regex(/^\d+:\d+$/)).optional(),
  read_only: z.boolean(),
  restart: z.literal('unless-stopped'),
  secrets: z.array(z.string()).optional(),
  security_opt: z.array(z.string()),
  stop_grace_period: duration.optional(),
  tmpfs: z.array(z.string()).optional(),
  user: z.string().optional(),
  volumes: z.array(z.string()).optional(),
});
const Compose = z.strictObject({
  'x-hardened': z.unknown(),
  'x-node': z.unknown(),
  'x-settings': z.unknown(),
  services: z.record(z.string(), Service),
  secrets: z.record(z.string(), z.strictObject({ file: z.string().regex(/^\.\/secrets\//) })),
  networks: z.strictObject({
    default: z.strictObject({
      ipam: z.strictObject({ config: z.tuple([z.strictObject({ subnet: z.cidrv4(), ip_range: z.cidrv4() })]) }),
    }),
  }),
  volumes: z.record(z.string(), z.null()),
});

const { services, volumes, secrets } = Compose.parse(load(text, { schema: CORE_SCHEMA.withTags(mergeTag) }));
const nodes = Object.entries(services).filter(([, { build }]) => build !== undefined);

describe('docker-compose.yml', () => {
  it('publishes only the balancer in docker-compose.yml', () => {
    const published = Object.entries(services).filter(([, { ports }]) => ports !== undefined);
    expect(published.map(([name]) => name)).to.deep.equal(['nginx']);
  });

  it('runs two Compose nodes under the names that nginx and HAProxy use', () => {
    expect(nodes.map(([name]) => name)).to.deep.equal(['chat-1', 'chat-2']);
    for (const [name, { environment: given }] of nodes) {
      expect(given).to.include({ NODE_NAME: name });
      for (const file of ['deploy/nginx.conf', 'deploy/haproxy.cfg']) expect(read(file)).to.include(` ${name}:7777`);
    }
  });

  describe('docker-compose.yml with the secrets of deploy/make-secrets.sh', () => {
    const directory = mkdtempSync(join(tmpdir(), 'nano-secrets-'));
    const makeSecrets = () => execFileSync('sh', [fileURLToPath(new URL('deploy/make-secrets.sh', root)), directory]);
    const secret = (name: string) => readFileSync(join(directory, name), 'utf8');
    before(makeSecrets);
    after(() => rmSync(directory, { recursive: true }));

    it('sets only settings that exist on the Compose nodes, to values that the service accepts', () => {
      for (const [, { environment: given = {}, secrets: mounted = [] }] of nodes) {
        const names = Object.keys(given).map((name) => name.replace(/_FILE$/, ''));
        expect(Object.keys(environment.shape)).to.include.members(names);
        const set = Object.entries(given).flatMap(([name, value]): [string, string][] => {
          if (value === null) return [];
          if (!name.endsWith('_FILE')) return [[name, value]];
          const file = value.slice('/run/secrets/'.length);
          expect(mounted).to.include(file);
          return [[name, join(directory, file)]];
        });
        const config = readConfig(Object.fromEntries(set));
        expect(config.database).to.deep.include({
          mode: 'postgres',
          databaseUrl: `postgres://chat:${secret('postgres-password')}@postgres:5432/chat`,
        });
        expect(config.redis?.urls).to.deep.equal([`redis://:${passwordOfRedis()}@redis:6379`]);
        expect(config.tokens.keys).to.deep.equal({ source: 'secrets', secrets: [secret('jwt-secret')] });
      }
    });

    it('generates a file for every Compose secret, in a directory that only its owner can enter', () => {
      for (const { file } of Object.values(secrets)) {
        expect(secret(file.slice('./secrets/'.length))).to.have.length.above(31);
      }
      expect(statSync(directory).mode & 0o777).to.equal(0o700);
    });

    it('keeps existing secrets when deploy/make-secrets.sh runs again', () => {
      const names = readdirSync(directory);
      const before = names.map(secret);
      makeSecrets();
      expect(names.map(secret)).to.deep.equal(before);
    });

    const passwordOfRedis = () => /^requirepass ([0-9a-f]{64})$/m.exec(secret('redis-conf'))?.[1];
  });

  it('contains no secret in docker-compose.yml, in an environment variable or as a default', () => {
    expect([...text.matchAll(/\$\{(.*?)\}/g)]).to.deep.equal([]);
    for (const { environment: given = {} } of Object.values(services)) {
      for (const [name, value] of Object.entries(given)) {
        if (/SECRET|PASSWORD|TOKEN|_URL/.test(name))
          expect([null, `/run/secrets/${value?.split('/').pop()}`]).to.include(value);
      }
    }
  });

  it('runs every container without unneeded capabilities and with a read-only filesystem', () => {
    for (const [name, service] of Object.entries(services)) {
      expect([service.read_only, service.cap_drop], name).to.deep.equal([true, ['ALL']]);
      expect(service.security_opt, name).to.deep.equal(['no-new-privileges:true']);
      if (service.build) expect(service.cap_add).to.equal(undefined);
    }
  });

  it('mounts only declared secrets in docker-compose.yml', () => {
    for (const { secrets: mounted = [] } of Object.values(services)) {
      expect(Object.keys(secrets)).to.include.members(mounted);
    }
  });

  it('lets Compose nodes drain before they are killed', () => {
    for (const [, { stop_grace_period }] of nodes) {
      expect(Number.parseInt(stop_grace_period!, 10) * 1_000).to.be.above(readConfig({}).drainTimeoutMs);
    }
  });

  it('waits only for existing services with a health check in docker-compose.yml', () => {
    for (const [name, { depends_on = {} }] of Object.entries(services)) {
      for (const needed of Object.keys(depends_on)) {
        expect(services, `${name} needs ${needed}`).to.have.property(needed);
        const { build, healthcheck: own } = services[needed]!;
        const isChecked = own !== undefined || (build !== undefined && /^HEALTHCHECK /m.test(read('Dockerfile')));
        expect(isChecked, `${needed} has a health check`).to.equal(true);
      }
    }
  });

  it('mounts only declared volumes, and existing files read-only, in docker-compose.yml', () => {
    for (const mount of Object.values(services).flatMap(({ volumes: mounts = [] }) => mounts)) {
      const [source, , mode] = mount.split(':') as [string, string, string?];
      if (!source.startsWith('.')) expect(volumes).to.have.property(source);
      else expect([existsSync(new URL(source, root)), mode], mount).to.deep.equal([true, 'ro']);
    }
  });

  it('pins the major versions of the images that docker-compose.yml and the Dockerfile use', () => {
    for (const { image, build } of Object.values(services))
      if (!build) expect(image).to.match(/^[a-z]+:\d+(-alpine)?$/);
    expect([...read('Dockerfile').matchAll(/^FROM (\S+)/gm)].map((match) => match[1])).to.deep.equal(
      Array(3).fill(`node:${read('.nvmrc').trim()}-slim`),
    );
  });

  it('passes `docker compose config` with docker-compose.yml', function () {
    this.timeout(120_000);
    const run = (command: readonly string[], ...words: string[]) => {
      const [file, ...first] = command;
      return spawnSync(file!, [...first, ...words], { cwd: root, encoding: 'utf8' });
    };
    const commands = [['docker', 'compose'], ['docker-compose']];
    const find = () => commands.find((command) => run(command, 'version').status === 0);
    const compose = find() ?? (aptInstall('The compose file is validated', 'docker-compose') ? find() : undefined);
    if (!compose) {
      console.log('      skipped: this machine has no `docker compose`');
      return this.skip();
    }
    const { status, stderr } = run(compose, 'config', '--quiet');
    expect(status, stderr).to.equal(0);
  });
});

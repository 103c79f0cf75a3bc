import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import { CORE_SCHEMA, load, mergeTag } from 'js-yaml';
import { z } from 'zod';
import { environment, readConfig } from '../../src/config.ts';

const root = new URL('../../', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), 'utf8');
const text = read('docker-compose.yml');

/** No package that is kept carries the schema of the Compose specification: this is the part of it that we use. */
const duration = z.string().regex(/^\d+(ms|s|m|h)$/);
const healthcheck = z.strictObject({
  test: z.tuple([z.enum(['CMD', 'CMD-SHELL'])], z.string()),
  interval: duration,
  timeout: duration,
  retries: z.int(),
});
const Service = z.strictObject({
  image: z.string(),
  build: z.string().optional(),
  command: z.array(z.string()).optional(),
  depends_on: z.record(z.string(), z.strictObject({ condition: z.literal('service_healthy') })).optional(),
  environment: z.record(z.string(), z.string().nullable()).optional(),
  healthcheck: healthcheck.optional(),
  networks: z.strictObject({ default: z.strictObject({ ipv4_address: z.ipv4() }) }).optional(),
  ports: z.array(z.string().regex(/^\d+:\d+$/)).optional(),
  restart: z.literal('unless-stopped'),
  stop_grace_period: duration.optional(),
  volumes: z.array(z.string()).optional(),
});
const Compose = z.strictObject({
  'x-node': z.unknown(),
  'x-settings': z.unknown(),
  services: z.record(z.string(), Service),
  networks: z.strictObject({
    default: z.strictObject({
      ipam: z.strictObject({ config: z.tuple([z.strictObject({ subnet: z.cidrv4(), ip_range: z.cidrv4() })]) }),
    }),
  }),
  volumes: z.record(z.string(), z.null()),
});

const { services, volumes } = Compose.parse(load(text, { schema: CORE_SCHEMA.withTags(mergeTag) }));
const nodes = Object.entries(services).filter(([, { build }]) => build !== undefined);

describe('docker-compose.yml', () => {
  it('publishes the balancer and nothing else', () => {
    const published = Object.entries(services).filter(([, { ports }]) => ports !== undefined);
    expect(published.map(([name]) => name)).to.deep.equal(['nginx']);
  });

  it('has two nodes, by the names that nginx and HAProxy know', () => {
    expect(nodes.map(([name]) => name)).to.deep.equal(['chat-1', 'chat-2']);
    for (const [name, { environment: given }] of nodes) {
      expect(given).to.include({ NODE_NAME: name });
      for (const file of ['deploy/nginx.conf', 'deploy/haproxy.cfg']) expect(read(file)).to.include(` ${name}:7777`);
    }
  });

  it('gives the nodes settings that there are, and values that they take', () => {
    const filled: Record<string, string> = {
      POSTGRES_PASSWORD: 'password',
      JWT_SECRET: 'a secret of the tests and long enough',
    };
    for (const [, { environment: given = {} }] of nodes) {
      expect(Object.keys(environment.shape)).to.include.members(Object.keys(given));
      const set = Object.entries(given).flatMap(([name, value]): [string, string][] =>
        value === null ? [] : [[name, value.replaceAll(/\$\{(\w+):\?[^}]+\}/g, (_, variable) => filled[variable]!)]],
      );
      expect(readConfig(Object.fromEntries(set)).database).to.deep.include({
        mode: 'postgres',
        databaseUrl: 'postgres://chat:password@postgres:5432/chat',
      });
    }
  });

  it('has no secret of its own: who does not give one is told so', () => {
    const variables = [...text.matchAll(/\$\{(.*?)\}/g)].map((match) => match[1]);
    expect(new Set(variables)).to.deep.equal(
      new Set(['POSTGRES_PASSWORD:?set POSTGRES_PASSWORD', 'JWT_SECRET:?set JWT_SECRET']),
    );
  });

  it('lets the nodes drain before it kills them', () => {
    for (const [, { stop_grace_period }] of nodes) {
      expect(Number.parseInt(stop_grace_period!, 10) * 1_000).to.be.above(readConfig({}).drainMs);
    }
  });

  it('waits only for what there is and what can be healthy', () => {
    for (const [name, { depends_on = {} }] of Object.entries(services)) {
      for (const needed of Object.keys(depends_on)) {
        expect(services, `${name} needs ${needed}`).to.have.property(needed);
        const { build, healthcheck: own } = services[needed]!;
        const isChecked = own !== undefined || (build !== undefined && /^HEALTHCHECK /m.test(read('Dockerfile')));
        expect(isChecked, `${needed} has a health check`).to.equal(true);
      }
    }
  });

  it('mounts what there is', () => {
    for (const mount of Object.values(services).flatMap(({ volumes: mounts = [] }) => mounts)) {
      const [source, , mode] = mount.split(':') as [string, string, string?];
      if (!source.startsWith('.')) expect(volumes).to.have.property(source);
      else expect([existsSync(new URL(source, root)), mode], mount).to.deep.equal([true, 'ro']);
    }
  });

  it('pins the major versions of what it did not build', () => {
    for (const { image, build } of Object.values(services))
      if (!build) expect(image).to.match(/^[a-z]+:\d+(-alpine)?$/);
    expect([...read('Dockerfile').matchAll(/^FROM (\S+)/gm)].map((match) => match[1])).to.deep.equal(
      Array(3).fill(`node:${read('.nvmrc').trim()}-slim`),
    );
  });

  it('is taken by `docker compose config`', function () {
    this.timeout(30_000);
    const compose = (...words: string[]) => {
      const env = {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        POSTGRES_PASSWORD: 'password',
        JWT_SECRET: 'secret',
      };
      return spawnSync('docker', ['compose', ...words], { cwd: root, env, encoding: 'utf8' });
    };
    if (compose('version').status !== 0) {
      console.log('      skipped: this machine has no `docker compose`');
      this.skip();
    }
    const { status, stderr } = compose('config', '--quiet');
    expect(status, stderr).to.equal(0);
  });
});

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { loadAll } from 'js-yaml';
import { Deployment } from 'kubernetes-models/apps/v1';
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1';
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1';
import { Service } from 'kubernetes-models/v1';
import { readConfig } from '../../../src/config/config.ts';
import { environment } from '../../../src/config/environment.ts';

const read = (path: string) => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');
const settingNames = Object.keys(environment.shape);
const isSetting = (name: string) => settingNames.includes(name.replace(/_FILE$/, ''));

type Json = Record<string, unknown>;
interface Manifest {
  kind: keyof typeof models;
  metadata: { name: string };
}
const models = { Deployment, Service, PodDisruptionBudget, NetworkPolicy };

/** Records the fields that a validator reads: its schema does not know the others. */
function recordReads(value: unknown, path: string, read: Set<string>): unknown {
  if (typeof value !== 'object' || value === null) return value;
  return new Proxy(value as Json, {
    get(target, key) {
      const inner = `${path}/${String(key)}`;
      read.add(inner);
      return recordReads(Reflect.get(target, key), inner, read);
    },
  });
}

function paths(value: unknown, path = ''): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [`${path}/${key}`, ...paths(inner, `${path}/${key}`)]);
}

/** Throws if the manifest does not fit the schema of its kind. */
function validate(manifest: Manifest): void {
  const Model = models[manifest.kind] as { new (data: never): { validate(): void } };
  new Model(structuredClone(manifest) as never).validate();
}

function unknownFields(manifest: Manifest): string[] {
  const Model = models[manifest.kind] as { new (data: never): object };
  const read = new Set<string>();
  const recorded = recordReads(manifest, '', read);
  // The model copies its data and validates the copy. These getters return the recording proxy instead.
  const model = Object.create(Object.getPrototypeOf(new Model({} as never)), {
    ...Object.fromEntries(
      Object.keys(manifest).map((key) => [key, { enumerable: true, get: () => (recorded as Json)[key] }]),
    ),
  }) as { validate(): void };
  model.validate();
  return paths(manifest).filter((path) => !read.has(path));
}

describe('deploy/kubernetes/nano-messaging.yaml', () => {
  const manifests = loadAll(read('deploy/kubernetes/nano-messaging.yaml')) as Manifest[];
  const find = (kind: string, name = 'nano-messaging') =>
    manifests.find((manifest) => manifest.kind === kind && manifest.metadata.name === name) as never;
  const deployment = find('Deployment') as {
    spec: {
      selector: Json;
      template: {
        metadata: { labels: Record<string, string> };
        spec: {
          terminationGracePeriodSeconds: number;
          enableServiceLinks: boolean;
          containers: [
            {
              env: { name: string; value?: string }[];
              ports: { name: string; containerPort: number }[];
              startupProbe: Probe;
              livenessProbe: Probe;
              readinessProbe: Probe;
              lifecycle: { preStop: { exec: { command: [string, string] } } };
              volumeMounts: { name: string; mountPath: string }[];
            },
          ];
        };
      };
    };
  };
  type Probe = { httpGet: { path: string; port: string } };
  const { template } = deployment.spec;
  const [container] = template.spec.containers;

  it('contains a Deployment, its Services, a PodDisruptionBudget and a NetworkPolicy for Kubernetes', () => {
    const found = manifests.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    expect(found).to.deep.equal([
      'Deployment nano-messaging',
      'Service nano-messaging',
      'Service nano-messaging-metrics',
      'PodDisruptionBudget nano-messaging',
      'NetworkPolicy nano-messaging',
    ]);
  });

  for (const manifest of manifests) {
    it(`matches the Kubernetes schema without unknown fields in ${manifest.kind} ${manifest.metadata.name}`, () => {
      validate(manifest);
      expect(unknownFields(manifest)).to.deep.equal([]);
    });
  }

  it('detects a wrong type and a misspelt field in a Kubernetes manifest', () => {
    const wrong = structuredClone(find('PodDisruptionBudget')) as Manifest & { spec: Json };
    wrong.spec.minAvailible = 1;
    expect(unknownFields(wrong)).to.deep.equal(['/spec/minAvailible']);
    wrong.spec.selector = 'nano-messaging';
    expect(() => validate(wrong)).to.throw('spec/selector');
  });

  it('sets only settings that exist in the Kubernetes manifest, to values that the service accepts', () => {
    for (const { name } of container.env) expect(isSetting(name), name).to.equal(true);
    const directory = mkdtempSync(join(tmpdir(), 'nano-secrets-'));
    const secrets: Record<string, string> = {
      'database-url': 'postgres://chat:secret@db.example/chat',
      'redis-url': 'rediss://:secret@redis.example',
      'jwt-secret': 'k7GvLqT2nXw9Zs4RyB6mHc8JdF3pVaQe',
      'metrics-token': 'e3b0c44298fc1c149afbf4c8996fb924',
    };
    try {
      const env = container.env.map(({ name, value }): [string, string] => {
        const file = name.endsWith('_FILE') ? value!.slice(container.volumeMounts[0]!.mountPath.length + 1) : undefined;
        if (!file) return [name, value ?? 'nano-messaging-6d4f7c9b8d-x2x7k'];
        writeFileSync(join(directory, file), secrets[file]!);
        return [name, join(directory, file)];
      });
      const config = readConfig({ ...Object.fromEntries(env), NODE_ENV: 'production' });
      expect(config.database.mode).to.equal('postgres');
      expect(config.metrics.port).to.equal(container.ports.find(({ name }) => name === 'metrics')!.containerPort);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('restarts pods by /healthz and routes to pods by /readyz', () => {
    const probes = [container.startupProbe, container.livenessProbe, container.readinessProbe];
    expect(probes.map(({ httpGet }) => httpGet.path)).to.deep.equal(['/healthz', '/healthz', '/readyz']);
  });

  it('sets a termination grace period that is longer than the preStop delay and the drain', () => {
    const pause = Number(container.lifecycle.preStop.exec.command[1]);
    const drain = readConfig({}).drainTimeoutMs / 1_000;
    expect(template.spec.terminationGracePeriodSeconds).to.be.above(pause + drain);
  });

  it('selects the same pods in every Kubernetes manifest', () => {
    const labels = template.metadata.labels;
    const selectors = manifests.map((manifest) => {
      const { spec } = manifest as unknown as { spec: { selector?: Json; podSelector?: Json } };
      const selector = (spec.selector ?? spec.podSelector)!;
      return selector.matchLabels ?? selector;
    });
    for (const selector of selectors) expect(selector).to.deep.equal(labels);
  });

  it('contains no secret in the Kubernetes manifest, and turns service links off', () => {
    for (const { name, value } of container.env) {
      if (/SECRET|TOKEN|URL/.test(name)) expect(`${name}=${value}`).to.match(/_FILE=\/run\/secrets\//);
    }
    expect(template.spec.enableServiceLinks).to.equal(false);
  });
});

describe('deploy/nano-messaging.service', () => {
  const unit = read('deploy/nano-messaging.service');
  const values = (key: string) => [...unit.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map((match) => match[1]!);

  it('sets only settings that exist in the systemd unit', () => {
    const names = values('Environment').flatMap((line) => line.split(' ').map((pair) => pair.split('=', 1)[0]!));
    expect(names).to.include.members(['JWT_SECRET_FILE', 'DATABASE_URL_FILE', 'DATA_DIR']);
    for (const name of names) if (name !== 'NODE_ENV') expect(isSetting(name), name).to.equal(true);
  });

  it('sets a stop timeout in the systemd unit that is longer than the drain', () => {
    expect(Number(values('TimeoutStopSec')[0])).to.be.above(readConfig({}).drainTimeoutMs / 1_000);
  });

  it('passes `systemd-analyze verify` with the systemd unit', function () {
    if (spawnSync('systemd-analyze', ['--version']).status !== 0) {
      console.log('      skipped: this machine has no systemd-analyze');
      this.skip();
    }
    const directory = mkdtempSync(join(tmpdir(), 'nano-unit-'));
    try {
      // systemd-analyze checks that the command exists.
      const command = join(directory, 'nano-messaging');
      writeFileSync(command, '#!/bin/sh\n', { mode: 0o755 });
      const file = join(directory, 'nano-messaging.service');
      writeFileSync(file, unit.replace(/^ExecStart=\S+/m, `ExecStart=${command}`));
      const { status, stderr } = spawnSync('systemd-analyze', ['verify', file], { encoding: 'utf8' });
      expect({ status, stderr }).to.deep.equal({ status: 0, stderr: '' });
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

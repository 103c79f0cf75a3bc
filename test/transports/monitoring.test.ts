import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { load } from 'js-yaml';
import { z } from 'zod';
import { settingNames } from '../../src/config/environment.ts';
import { ErrorCode } from '../../src/core/errors.ts';
import { MetricsOfWorkers } from '../../src/observability/metrics/of-workers.ts';
import { chatInRoom } from '../helpers/chat-client.ts';
import { closeLater } from '../helpers/cleanup.ts';
import { markdownIn } from '../helpers/markdown.ts';
import { embedded, startNode } from '../helpers/node.ts';
import { sendNumbered, socketInRoom } from '../helpers/node-pair.ts';
import { findPromtool, promtool } from '../helpers/promtool.ts';
import { rest } from '../helpers/rest-client.ts';
import { createRoom } from '../helpers/rooms.ts';
import { createUser } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const root = new URL('../../', import.meta.url);
const deploy = new URL('deploy/', root);
const read = (path: string) => readFileSync(new URL(path, root), 'utf8');
const page = (name: string) => read(`docs/operations/${name}.md`);
const shelf = markdownIn('docs/operations/').map(read).join('\n');

const Alert = z.strictObject({
  alert: z.string().regex(/^Nano[A-Za-z]+$/),
  expr: z.string(),
  for: z.string().regex(/^\d+[sm]$/),
  labels: z.strictObject({ severity: z.enum(['critical', 'warning']) }),
  annotations: z.strictObject({ summary: z.string(), description: z.string(), runbook_url: z.string() }),
});
const Rules = z.object({ groups: z.array(z.object({ name: z.string(), rules: z.array(Alert) })) });
const alerts = Rules.parse(load(read('deploy/alerts.yml'))).groups.flatMap(({ rules }) => rules);

const Target = z.object({ refId: z.string(), expr: z.string(), datasource: z.unknown() });
const Panel = z.object({
  id: z.int(),
  type: z.enum(['row', 'stat', 'timeseries']),
  title: z.string().min(1),
  gridPos: z.object({ h: z.int(), w: z.int(), x: z.int(), y: z.int() }),
  datasource: z.unknown().optional(),
  targets: z.array(Target).optional(),
});
const Dashboard = z.object({
  uid: z.string(),
  schemaVersion: z.int(),
  templating: z.object({ list: z.array(z.object({ name: z.string(), type: z.string() })) }),
  panels: z.array(Panel),
});
const dashboard = Dashboard.parse(JSON.parse(read('deploy/grafana-dashboard.json')));
const targets = dashboard.panels.flatMap((panel) => panel.targets ?? []);
/** Replaces the variables of a dashboard query, as Grafana does. */
const queries = targets.map(({ expr }) =>
  expr.replaceAll('$__rate_interval', '1m').replaceAll('$instance', '.*').replaceAll('$job', 'nano-messaging'),
);

/** Returns the metrics that a query uses, except `up` and `ALERTS`, which Prometheus creates itself. */
function namesIn(query: string): string[] {
  const bare = query.replaceAll(/"[^"]*"/g, '""');
  return [...new Set(bare.match(/\b(nano|nodejs|process)_[a-z0-9_]+/g) ?? [])];
}

/** Returns the name of the histogram that a series belongs to. */
const metricOf = (known: ReadonlySet<string>, name: string) => {
  const whole = name.replace(/_(bucket|sum|count)$/, '');
  return known.has(name) || !known.has(whole) ? name : whole;
};

describe('monitoring', function () {
  this.timeout(60_000);
  let text: string;
  let known: ReadonlySet<string>;

  before(async function () {
    this.timeout(300_000);
    findPromtool();
    text = await metricsOfABusyNode();
    const primary = await new MetricsOfWorkers({ wanted: 2, running: 2, restarts: 0 }).text();
    known = new Set([...`${text}${primary}`.matchAll(/^# HELP (\S+) /gm)].map(([, name]) => name!));
  });

  /** Increments every counter at least once. */
  async function metricsOfABusyNode(): Promise<string> {
    const server = await startNode(embedded);
    const { url } = server;
    await server.on('changes', { name: 'index' }, () => {});
    const owner = createUser({ level: 100 });
    const room = await createRoom(url, owner);
    const socket = await socketInRoom(url, owner, room);
    const chat = await chatInRoom(url, owner, room.id);
    await sendNumbered(socket, room, 3);
    await chat.next();
    await rest(url).get('/rooms');
    let text = '';
    await waitUntil('the changes that the consumer has acknowledged are counted', async () => {
      text = String((await rest(url).get('/metrics')).body);
      return text.includes('\nnano_messaging_webhook_changes_total{');
    });
    return text;
  }

  it('accepts the metrics of a node: `promtool check metrics`', () => {
    expect(promtool(['check', 'metrics'], { input: text })).to.equal('');
    expect(() => promtool(['check', 'metrics'], { input: '# TYPE odd_total gauge\nodd_total 1\n' })).to.throw(
      'odd_total',
    );
  });

  it('describes every metric in docs/operations/metrics.md, and no metric that does not exist', () => {
    const described = [...page('metrics').matchAll(/^\| `((?:nano)_[a-z0-9_]+)/gm)].map(([, name]) => name!);
    const ours = [...known].filter((name) => name.startsWith('nano_messaging_'));
    expect(described).to.have.members(ours);
  });

  it('describes the labels in docs/operations/metrics.md as a node has them', () => {
    for (const [, name, labels = ''] of page('metrics').matchAll(/^\| `(nano_[a-z0-9_]+)(?:\{([a-z, ]+)\})?`/gm)) {
      const series = text.split('\n').find((line) => line.match(`^${name}(_bucket)?[{ ]`));
      const given = [...(series?.match(/\{.*\}/)?.[0].matchAll(/([a-z]+)="/g) ?? [])].map(([, label]) => label!);
      const wanted = labels.split(', ').filter(Boolean);
      expect(given.filter((label) => label !== 'le').sort(), name).to.deep.equal(wanted.sort());
    }
  });

  it('names in docs/operations/ only settings and codes that exist', () => {
    const words = [...shelf.matchAll(/`([A-Z]+(?:_[A-Z]+)+)(?:=[^`]*)?`/g)].map(([, word]) => word!);
    // A variable and error codes of Node.js.
    const foreign = ['NODE_EXTRA_CA_CERTS', 'EAI_AGAIN', 'CERT_HAS_EXPIRED', 'DEPTH_ZERO_SELF_SIGNED_CERT'];
    const known = [...settingNames, ...ErrorCode.options, ...foreign];
    expect(words).to.have.length.above(150);
    // `NAME_FILE` contains the path of a file with the secret.
    const settings = words.map((word) => word.replace(/_FILE$/, ''));
    expect(settings.filter((word) => !known.includes(word))).to.deep.equal([]);
  });

  it('names in docs/operations/ only metrics that a node exports', () => {
    const named = [...shelf.matchAll(/`(?:[a-z]+\()?((?:nano|nodejs|process)_[a-z0-9_]+)/g)].map(([, name]) => name!);
    expect(named).to.have.length.above(60);
    expect(named.filter((name) => !known.has(metricOf(known, name)))).to.deep.equal([]);
  });

  it('lists in docs/operations/troubleshooting.md only log lines that the code writes', () => {
    const lines = [...page('troubleshooting').matchAll(/^\| (`[^|]+`) \| (?:info|warn|error|fatal)/gm)].flatMap(
      ([, cell]) => [...cell!.matchAll(/`([^`]+)`/g)].map(([, text]) => text!.split('…')[0]!),
    );
    expect(lines).to.have.length.above(40);
    const code = readdirSync(new URL('src/', root), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts'))
      .map((path) => read(`src/${path}`))
      .join('\n');
    expect(lines.filter((line) => !code.includes(line))).to.deep.equal([]);
  });

  describe('alerts', () => {
    it('has alert rules and an example configuration that Prometheus accepts', () => {
      expect(promtool(['check', 'rules', 'alerts.yml'], { cwd: deploy })).to.include(`${alerts.length} rules found`);
      expect(promtool(['check', 'config', 'prometheus.yml'], { cwd: deploy })).to.include('SUCCESS');
    });

    it('fires alerts exactly in the cases of deploy/alerts.test.yml', () => {
      expect(promtool(['test', 'rules', 'alerts.test.yml'], { cwd: deploy })).to.include('SUCCESS');
    });

    it('has a test and a section of docs/operations/alerts.md for each alert', () => {
      const runbook = page('alerts');
      const tests = read('deploy/alerts.test.yml');
      expect(alerts).to.have.length.above(20);
      for (const { alert, annotations, labels } of alerts) {
        expect(tests, `a test of ${alert}`).to.match(new RegExp(`labels: '\\{alertname="${alert}"`));
        expect(runbook, `a section on ${alert}, with its severity`).to.match(
          new RegExp(`^### ${alert}\n\n\\*\\*${labels.severity}\\.\\*\\* `, 'm'),
        );
        expect(annotations.runbook_url).to.equal(`docs/operations/alerts.md#${alert.toLowerCase()}`);
      }
      const sections = [...runbook.matchAll(/^### (Nano[A-Za-z]+)$/gm)].map(([, name]) => name!);
      expect(sections).to.have.members(alerts.map(({ alert }) => alert));
    });

    for (const { alert, expr } of alerts) {
      it(`queries in ${alert} only metrics that a node exports`, () => {
        expect(namesIn(expr).filter((name) => !known.has(metricOf(known, name)))).to.deep.equal([]);
      });
    }
  });

  describe('dashboard', () => {
    it('queries in every panel of the dashboard only metrics that a node exports', () => {
      expect(dashboard.panels.filter(({ type, targets: of = [] }) => type !== 'row' && of.length === 0)).to.deep.equal(
        [],
      );
      const names = queries.flatMap(namesIn);
      expect(names).to.have.length.above(40);
      expect(names.filter((name) => !known.has(metricOf(known, name)))).to.deep.equal([]);
    });

    it('shows every metric on the dashboard', () => {
      const shown = new Set(queries.flatMap(namesIn).map((name) => metricOf(known, name)));
      const hidden = [...known].filter((name) => name.startsWith('nano_messaging_') && !shown.has(name));
      // These are limits: panels show the limited values, and alerts compare the values with the limits.
      expect(hidden).to.have.members([
        ...[
          'nano_messaging_draining',
          'nano_messaging_unauthenticated_connections_limit',
          'nano_messaging_queued_messages_limit',
        ],
      ]);
    });

    it('has only dashboard queries that Prometheus can parse', () => {
      const rules = queries.map((expr, n) => ({ record: `query:${n}`, expr }));
      const home = mkdtempSync(join(tmpdir(), 'nano-queries-'));
      closeLater(() => rmSync(home, { recursive: true, force: true }));
      const file = join(home, 'queries.yml');
      writeFileSync(file, JSON.stringify({ groups: [{ name: 'dashboard', rules }] }));
      expect(promtool(['check', 'rules', file])).to.include(`${queries.length} rules found`);
    });

    it('queries the selected Prometheus and nodes from every panel of the dashboard', () => {
      const { list } = dashboard.templating;
      expect(list.map(({ name, type }) => `${name} ${type}`)).to.deep.equal([
        ...['datasource datasource', 'job query', 'instance query'],
      ]);
      const chosen = { type: 'prometheus', uid: `$${'{datasource}'}` };
      for (const { type, datasource, targets: of = [] } of dashboard.panels) {
        if (type !== 'row') expect(datasource).to.deep.equal(chosen);
        for (const target of of) expect(target.datasource).to.deep.equal(chosen);
      }
    });

    it('arranges the panels of the dashboard in the grid of Grafana without overlap', () => {
      expect(new Set(dashboard.panels.map(({ id }) => id)).size).to.equal(dashboard.panels.length);
      const occupied = new Map<string, string>();
      for (const { title, gridPos } of dashboard.panels) {
        expect(gridPos.x + gridPos.w, title).to.be.at.most(24);
        for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
          for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
            expect(occupied.get(`${x}/${y}`), title).to.equal(undefined);
            occupied.set(`${x}/${y}`, title);
          }
        }
      }
    });
  });
});

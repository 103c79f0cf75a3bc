import { expect } from 'chai';
import { readConfig } from '../../../src/config/config.ts';
import { ErrorCode } from '../../../src/core/errors.ts';
import { costs } from '../../../src/core/limits/request-costs.ts';
import { countTokens, refusalCost } from '../../../src/core/limits/request-limits.ts';
import { chatCommands, requests, routes, routeTitle } from '../../helpers/contracts.ts';
import { readDocument, section } from '../../helpers/markdown.ts';

const { requestBurst, roomsPerConnection } = readConfig({}).limits;

/** The requests of a device: a list of the rooms, a connection, and a join of every room that it may join. */
const connecting = countTokens(costs.list, {}) + countTokens(costs.token, {});
const opening = roomsPerConnection * (countTokens(costs.join, {}) + countTokens(costs.page, {}));
const returning = roomsPerConnection * countTokens(costs.join, { since: '1.1.x' });

describe('the costs of requests', () => {
  it('lets an app start on three devices at once, each with the maximum number of rooms per connection', () => {
    expect(3 * (connecting + opening)).to.be.at.most(requestBurst);
  });

  it('lets five devices reconnect at once, each with the maximum number of rooms per connection', () => {
    expect(5 * (connecting + returning)).to.be.at.most(requestBurst);
  });

  it('charges a request by the number of rows, and never less than its base cost, even for invalid input', () => {
    const page = (limit: unknown) => countTokens(costs.page, { limit });
    expect([1, 100, '101', 500].map(page)).to.deep.equal([5, 5, 9, 21]);
    expect([undefined, -1, 'x', {}, Number.NaN].map(page)).to.deep.equal([5, 5, 5, 5, 5]);
    expect(countTokens(costs.list, { limit: '100', offset: '1000' })).to.equal(12);
    expect([null, 'x', 7].map((input) => countTokens(costs.join, input))).to.deep.equal([2, 2, 2]);
  });

  it('charges every refusal except for server errors and exceeded limits on requests and connections', () => {
    const uncharged = ErrorCode.options.filter((code) => refusalCost(code) === 0);
    expect(uncharged).to.have.members(['RATE_LIMITED', 'TOO_MANY_CONNECTIONS', 'INTERNAL', 'UNAVAILABLE']);
  });

  const document = section(readDocument('docs/protocol/limits.md'), '### Request costs');
  const rows = document.split('\n').filter((line) => line.startsWith('| '));

  /** The last column of the row with this name. */
  const documented = (name: string) =>
    rows
      .find((row) => row.includes(`\`${name}\``))
      ?.split('|')
      .at(-2)
      ?.trim();

  it('documents the cost of an app with the maximum number of rooms per connection', () => {
    const paragraph = document.slice(document.lastIndexOf('|'));
    expect(paragraph).to.include(`${roomsPerConnection} rooms`);
    expect(paragraph).to.include(`: ${connecting + opening} tokens`);
    expect(paragraph).to.include(`with \`since\` take ${returning}`);
  });

  for (const { route } of routes) {
    if (route.auth !== 'user') continue;
    const title = routeTitle(route);
    it(`documents the cost of ${title}`, () => {
      expect(documented(title)).to.match(new RegExp(`^${route.cost.tokens}\\b`));
    });
  }

  for (const [name, { cost }] of [...Object.entries(requests), ...Object.entries(chatCommands)]) {
    if (name === 'quit') continue;
    it(`documents the cost of ${name}`, () => {
      expect(documented(name)).to.match(new RegExp(`^${cost.tokens}\\b`));
    });
  }
});

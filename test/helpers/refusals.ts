import { expect } from 'chai';
import { type ErrorCode, errors } from '../../src/core/errors.ts';
import type { Json } from './json.ts';

/** Checks the envelope of a refusal. If `field` is given, `meta.detail` must name it. */
export function expectRefusal(answer: { status: number; body: Json }, code: ErrorCode, field?: string): void {
  expect(answer.body, `status ${answer.status}`).to.have.nested.property('meta.reason', code);
  expect(answer.status).to.equal(errors[code].http);
  expect(answer.body.meta.code).to.equal(answer.status);
  expect(answer.body.meta.message).to.be.a('string').and.not.equal('');
  if (field !== undefined) expect(answer.body.meta.detail).to.match(new RegExp(`^${field}: .+`));
  expect(JSON.stringify(answer.body)).to.not.match(/\bat .+:\d+:\d+|select |insert into|node_modules/i);
}

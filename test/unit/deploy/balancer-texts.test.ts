import { expect } from 'chai';
import { type ErrorCode, errors } from '../../../src/core/errors.ts';
import { readDocument } from '../../helpers/markdown.ts';

/** Matches `"code":404,"message":"…","reason":"NOT_FOUND"` in either file. */
const refusal = /"code":(\d+),"message":"([^"]+)","reason":"([A-Z_]+)"/g;

for (const path of ['deploy/nginx.conf', 'deploy/haproxy.cfg']) {
  describe(path, () => {
    const refusals = [...readDocument(path).matchAll(refusal)];

    it(`defines an error body in ${path} for every status that the balancer generates`, () => {
      const statuses = refusals.map(([, status]) => Number(status));
      expect(statuses).to.include.members([400, 404, 405, 408, 413, 429, 500, 502, 503, 504]);
    });

    for (const [, status, message, reason] of refusals) {
      it(`uses the message of the service for ${status} in ${path}`, () => {
        expect(message).to.equal(errors[reason as ErrorCode].message);
      });
    }
  });
}

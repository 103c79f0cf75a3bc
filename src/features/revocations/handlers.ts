import { implement } from '../app-context.ts';
import * as contract from './contract.ts';

export const revocations = implement(contract.revocations, {
  async createRevocation({ context, body }) {
    const { revocation, created } = await context.revocations.revoke(body);
    const { id, userUUID, issued_before } = revocation;
    context.audit('tokens revoked', { revocation: id, userUUID, issued_before, created });
    return { code: created ? 201 : 200, content: revocation };
  },
  async listRevocations({ context, query }) {
    const { revocations: content, has_more } = await context.revocations.list(query);
    return { code: 200, content, meta: { has_more } };
  },
  async liftRevocation({ context, params: { id } }) {
    await context.revocations.lift(id);
    context.audit('revocation lifted', { revocation: id });
    return { code: 200, content: null };
  },
});

import { implement } from '../app-context.ts';
import * as contract from './contract.ts';
import { putRules } from './put-rules.ts';

export const adminMembers = implement(contract.adminMembers, {
  async adminPutMembers({ context, params: { id }, body }) {
    return { code: 200, content: await putRules(context, id, body) };
  },
});

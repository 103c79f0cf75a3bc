import { implement } from '../app-context.ts';
import * as contract from './contract.ts';

export const inbox = implement(contract.inbox, {
  async 'inbox:open'(call) {
    const { context, actor, connection, payload } = call;
    context.requestLimits.consumeRead(actor.user);
    await context.inbox.open(connection, payload.limit, (page) => call.acknowledge(page));
    return undefined;
  },
  async 'inbox:page'(call) {
    const { context, actor, connection, payload } = call;
    context.requestLimits.consumeRead(actor.user);
    await context.inbox.page(connection, payload, (page) => call.acknowledge(page));
    return undefined;
  },
  async 'inbox:close'({ context, connection }) {
    context.inbox.closeFor(connection);
    return {};
  },
});

import { ChatError } from '../../core/errors.ts';
import { implement, resolveRoomId } from '../app-context.ts';
import { listWebhooks, redeliver, removeWebhook, resumeWebhook, skipBefore } from './administration.ts';
import * as contract from './contract.ts';

const toDate = (at: number | null) => (at === null ? null : new Date(at).toISOString());

export const webhooks = implement(contract.webhooks, {
  async listWebhooks({ context: { store, webhooks }, query }) {
    const rows = await listWebhooks(store, webhooks.parkAfterMs, query.name);
    const content = rows.map(({ name, suspended, failing, last_error, holder, behind, refused, parked, rooms }) => {
      const url = webhooks.findUrl(name);
      return {
        ...{ name, configured: url !== undefined, url: url ?? null, dispatching_node: holder },
        ...{ suspended_at: toDate(suspended), failing_since: toDate(failing), last_error },
        ...{ rooms_behind: behind, rooms_refused: refused, rooms_parked: parked },
        refused: rooms.map(({ room_id, attempts, since, retry, error, parked: isParked }) => ({
          ...{ room_id, attempts, since: new Date(since).toISOString(), error },
          retry_at: isParked ? null : new Date(retry).toISOString(),
        })),
      };
    });
    return { code: 200, content };
  },
  async commandWebhook({ context, params: { name }, body }) {
    const { store } = context;
    const skippedBefore = body.skip_before === undefined ? undefined : new Date(body.skip_before);
    if (skippedBefore) await skipBefore(store, name, skippedBefore);
    else if (body.redeliver) {
      const room = await resolveRoomId(context, body.redeliver.room);
      await redeliver(store, name, room, body.redeliver.from_rev);
    } else await resumeWebhook(store, name);
    context.audit('webhook changed', { webhook: name, ...body, ...(skippedBefore && { skip_before: skippedBefore }) });
    return { code: 200, content: null };
  },
  async deleteWebhook({ context, params: { name } }) {
    if (context.webhooks.findUrl(name) !== undefined)
      throw new ChatError('BAD_REQUEST', {
        field: 'name',
        message: `${name} is configured: remove it from WEBHOOKS first`,
      });
    await removeWebhook(context.store, name);
    context.audit('webhook deleted', { webhook: name });
    return { code: 200, content: null };
  },
});

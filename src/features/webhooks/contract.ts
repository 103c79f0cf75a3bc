import { z } from 'zod';
import { defineAnswer, ignoredKeys, refusals } from '../../core/contract/rest.ts';
import { defineFeature } from '../../core/feature.ts';
import { count, RoomId, RoomRef } from '../../core/ids.ts';
import { dateBound } from '../../core/timestamp.ts';
import { webhookNameError, webhookNameShape } from '../../core/webhook-events.ts';

const date = z.iso.datetime();

const RefusedRoom = z.object({
  room_id: RoomId,
  attempts: z.int(),
  since: date,
  retry_at: date.nullable().describe('null: the room is parked, and waits until it is resumed.'),
  error: z.string(),
});

export const Webhook = z
  .object({
    name: z.string(),
    configured: z.boolean().describe('Whether this node has the name in WEBHOOKS, or as a consumer.'),
    url: z.string().nullable().describe('null for a consumer in the process, and for a name that is not configured.'),
    dispatching_node: z.string().nullable().describe('The node that delivers now.'),
    suspended_at: date.nullable().describe('The endpoint has answered 410. It gets nothing until it is resumed.'),
    failing_since: date.nullable(),
    last_error: z.string().nullable(),
    rooms_behind: z.int().describe('Rooms with changes that were not delivered yet.'),
    rooms_refused: z.int().describe('Rooms that the endpoint refuses, including the parked ones.'),
    rooms_parked: z.int().describe('Rooms that are not tried any more.'),
    refused: z.array(RefusedRoom).describe('The first 100 of them, the oldest first.'),
  })
  .meta({ id: 'Webhook' });

const Name = z.string().regex(webhookNameShape, webhookNameError);
const WebhookParams = z.object({ name: Name.describe('The name of a webhook or a consumer.') });
const WebhookListQuery = z.object({ name: Name.optional().describe('List only this name.') });

const onlyOne = 'must have exactly one of resume, skip_before and redeliver';

const WebhookCommand = z
  .object(
    {
      resume: z
        .literal(true, { error: 'must be true' })
        .optional()
        .describe('Deliver again to a suspended endpoint, and try all refused rooms at once.'),
      skip_before: dateBound('from')
        .optional()
        .describe('Do not deliver changes that are older than this date, in ISO 8601.'),
      redeliver: z
        .object(
          { room: RoomRef, from_rev: count(1, Number.MAX_SAFE_INTEGER) },
          { error: 'must be an object with room and from_rev' },
        )
        .optional()
        .describe('Deliver the changes of a room again, from this `rev` on.'),
    },
    { error: 'the body must be a JSON object' },
  )
  .refine(
    (command) =>
      [command.resume, command.skip_before, command.redeliver].filter((value) => value !== undefined).length === 1,
    onlyOne,
  );

const exampleWebhook = {
  name: 'app',
  configured: true,
  url: 'http://app:3000/webhooks',
  dispatching_node: 'node-1',
  suspended_at: null,
  failing_since: null,
  last_error: null,
  rooms_behind: 1,
  rooms_refused: 1,
  rooms_parked: 0,
  refused: [
    {
      room_id: 7,
      attempts: 3,
      since: '2026-11-23T23:23:20.710Z',
      retry_at: '2026-11-23T23:23:28.102Z',
      error: 'the answer 422: unknown customer',
    },
  ],
};

const done = { 200: defineAnswer(200, { description: 'Done.', content: z.null(), meta: ignoredKeys, example: null }) };

export const webhooks = defineFeature('webhooks', {
  description:
    "The endpoints of the product's own backend that receive every change. Only if the server has an `ADMIN_TOKEN`.",
  rest: {
    listWebhooks: {
      method: 'GET',
      path: '/admin/webhooks',
      auth: 'admin',
      summary: 'List the webhooks and consumers',
      description: 'Also the names that are no longer configured. Their positions are kept until they are deleted.',
      query: WebhookListQuery,
      answers: {
        200: defineAnswer(200, { description: 'All names.', content: z.array(Webhook), example: [exampleWebhook] }),
      },
      refusals: refusals.admin,
    },
    commandWebhook: {
      method: 'POST',
      path: '/admin/webhooks/:name',
      auth: 'admin',
      summary: 'Resume, skip or repeat deliveries',
      params: WebhookParams,
      body: {
        schema: WebhookCommand,
        examples: {
          Resume: { resume: true },
          'Skip what is old': { skip_before: '2026-11-25' },
          'Repeat a room': { redeliver: { room: 7, from_rev: 12 } },
        },
      },
      answers: done,
      refusals: refusals.admin,
    },
    deleteWebhook: {
      method: 'DELETE',
      path: '/admin/webhooks/:name',
      auth: 'admin',
      summary: 'Delete a name that is no longer configured',
      description:
        'With its positions. If the name is configured again, it begins with what happens then. Refused while a node delivers to it.',
      params: WebhookParams,
      answers: {
        200: defineAnswer(200, { description: 'The name is deleted.', content: z.null(), example: null }),
      },
      refusals: refusals.admin,
    },
  },
});

import { defineEntity, p } from '@mikro-orm/core';

// SQL statements and functions read and write these tables. The entities exist so that MikroORM can compare the tables
// with the migrations.

/** Every name that was ever configured and not deleted since. */
const WebhookEntity = defineEntity({
  name: 'Webhook',
  tableName: 'webhooks',
  properties: {
    id: p.integer().primary().generated('by default as identity'),
    name: p.string().length(63).unique(),
    createdAt: p.datetime(3),
    /** Set after the answer 410, until an administrator resumes the endpoint. */
    suspendedAt: p.datetime(3).nullable(),
    /** Null while the endpoint answers. */
    failingSince: p.datetime(3).nullable(),
    lastError: p.text().nullable(),
  },
});

/** Up to which `rev` an endpoint has a room. -1 means that it knows that the room was deleted. */
const WebhookPositionEntity = defineEntity({
  name: 'WebhookPosition',
  tableName: 'webhook_positions',
  properties: {
    webhook: p.integer().primary().autoincrement(false),
    roomId: p.bigint('number').primary(),
    rev: p.bigint('number'),
  },
});

/** The rooms that an endpoint refuses. */
const WebhookRefusalEntity = defineEntity({
  name: 'WebhookRefusal',
  tableName: 'webhook_refusals',
  properties: {
    webhook: p.integer().primary().autoincrement(false),
    roomId: p.bigint('number').primary(),
    attempts: p.integer(),
    since: p.datetime(3),
    retryAt: p.datetime(3),
    error: p.text(),
  },
});

/** The creations (kind 1) and deletions (2) of rooms, which are in no room's log. */
const EventEntity = defineEntity({
  name: 'Event',
  tableName: 'events',
  properties: {
    roomId: p.bigint('number').primary().autoincrement(false),
    kind: p.smallint().primary(),
    body: p.text(),
    at: p.datetime(3),
  },
});

export const webhookTables = [WebhookEntity, WebhookPositionEntity, WebhookRefusalEntity, EventEntity];

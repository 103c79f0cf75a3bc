import type { RoomId } from '../../core/ids.ts';
import type { DispatcherEvents } from './dispatcher.ts';
import type { Outcome } from './receiver.ts';

interface FailureLog {
  failed(error: unknown, fields: object): void;
  recovered(fields: object): void;
}

interface Collaborators {
  logger: Record<'info' | 'warn' | 'error', (fields: object, event: string) => void>;
  metrics: {
    requested(webhook: string, outcome: Outcome, seconds: number): void;
    delivered(webhook: string, changes: number, seconds: number): void;
  };
  createFailureLog(logger: Collaborators['logger'], texts: { failing: string; recovered: string }): FailureLog;
}

/** A room that is refused again is logged at most once in this time. */
const repeatMs = 60_000;

/** Reports the deliveries to one endpoint to the log and to the metrics. */
export function createWebhookReports(
  webhook: string,
  { logger, metrics, createFailureLog }: Collaborators,
): DispatcherEvents {
  const database = createFailureLog(logger, {
    failing: 'the changes for a webhook could not be read, or their delivery not be written; trying again',
    recovered: 'the changes for a webhook are read again',
  });
  let refusedLoggedAt = Number.NEGATIVE_INFINITY;
  return {
    requested: (outcome, seconds) => metrics.requested(webhook, outcome, seconds),
    delivered: (changes, seconds) => metrics.delivered(webhook, changes, seconds),
    failing: (error) => logger.warn({ webhook, error }, 'webhook fails; trying again'),
    recovered: () => logger.info({ webhook }, 'webhook answers again'),
    suspended: () =>
      logger.error({ webhook }, 'webhook answered 410 and is suspended; resume it with POST /admin/webhooks/:name'),
    refused(room: RoomId, error, isParked) {
      const now = performance.now();
      if (!isParked && now - refusedLoggedAt < repeatMs) return;
      refusedLoggedAt = now;
      const event = isParked
        ? 'webhook refused a room for too long; the room is parked'
        : 'webhook refuses a room; trying again';
      logger.warn({ webhook, room, error }, event);
    },
    unreadable: (room, error) =>
      logger.error({ webhook, room, err: error }, 'webhook waits for a room whose log has a change of a newer version'),
    database: {
      failed: (error) => database.failed(error, { webhook }),
      recovered: () => database.recovered({ webhook }),
    },
  };
}

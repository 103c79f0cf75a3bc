import type { RefusedAck } from '../../core/contract/socketio.ts';
import type { ChatError } from '../../core/errors.ts';

export function toErrorAck({ code, message, field, retryAfterMs }: ChatError): RefusedAck {
  return {
    ok: false,
    error: {
      ...{ code, message },
      ...(field === undefined ? {} : { field }),
      ...(retryAfterMs === undefined ? {} : { retry_after_ms: retryAfterMs }),
    },
  };
}

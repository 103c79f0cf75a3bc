import type { RefusedAck } from '../../core/contract/socketio.ts';
import type { ChatError } from '../../core/errors.ts';
import type { Message } from '../../core/log/message.ts';

export function toErrorAck({ code, message, field, retryAfterMs, current }: ChatError): RefusedAck {
  return {
    ok: false,
    error: {
      ...{ code, message },
      ...(field === undefined ? {} : { field }),
      ...(retryAfterMs === undefined ? {} : { retry_after_ms: retryAfterMs }),
      ...(current === undefined ? {} : { current: current as Message }),
    },
  };
}

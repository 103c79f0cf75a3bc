export type { AdminClient, AdminClientOptions } from './admin-client.ts';
export { createAdminClient } from './admin-client.ts';
export type { AdminErrorCode } from './admin-error.ts';
export { AdminError } from './admin-error.ts';
export type { SignOptions, TokenClaims } from './sign-token.ts';
export { signToken } from './sign-token.ts';
export { entityUuid, userUuid, uuidV5 } from './user-uuid.ts';
export type { WebhookErrorCode, WebhookHeaders } from './verify-webhook.ts';
export { verifyWebhook, WebhookVerificationError } from './verify-webhook.ts';

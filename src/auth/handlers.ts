import { implementWith } from '../core/feature.ts';
import * as contract from './contract.ts';

export const session = implementWith<unknown>()(contract.session, {
  'token:refresh': ({ connection, payload }) => connection.renewToken(payload.token),
  'connection:check': async () => ({}),
  token: ({ connection, frame, id }) => connection.useToken(frame.content, id),
  quit: ({ connection }) => connection.quit(),
});

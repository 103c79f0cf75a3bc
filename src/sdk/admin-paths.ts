import type { adminRoutes } from '../features/admin-calls.ts';

type Routes = typeof adminRoutes;

/**
 * Method and path of each call. The routes themselves are not imported, because their schemas would bring zod and the
 * server. The compiler rejects an entry that is missing or differs from its route.
 */
export const adminPaths = {
  rooms: {
    put: 'PUT /admin/rooms/:id',
    list: 'GET /admin/rooms',
    read: 'GET /admin/rooms/:id',
    change: 'PATCH /admin/rooms/:id',
    delete: 'DELETE /admin/rooms/:id',
  },
  members: { put: 'PUT /admin/rooms/:id/members' },
  messages: {
    send: 'POST /admin/rooms/:id/messages',
    edit: 'PATCH /admin/rooms/:id/messages/:seq',
    delete: 'DELETE /admin/rooms/:id/messages/:seq',
    deleteByEmitter: 'DELETE /admin/rooms/:id/messages',
    recipients: 'POST /admin/rooms/:id/messages/:seq/recipients',
  },
  users: {
    rooms: 'GET /admin/users/:uuid/rooms',
  },
  revocations: {
    create: 'POST /admin/revocations',
    list: 'GET /admin/revocations',
    lift: 'DELETE /admin/revocations/:id',
  },
  webhooks: {
    list: 'GET /admin/webhooks',
    command: 'POST /admin/webhooks/:name',
    delete: 'DELETE /admin/webhooks/:name',
  },
} as const satisfies {
  [G in keyof Routes]: {
    [N in keyof Routes[G]]: Routes[G][N] extends { method: infer M extends string; path: infer P extends string }
      ? `${M} ${P}`
      : never;
  };
};

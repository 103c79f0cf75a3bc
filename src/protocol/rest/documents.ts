import { z } from 'zod';
import type { Route } from './route.ts';

const publicRoute = { method: 'GET', tag: 'documents', token: 'none', refusals: [] } as const;

export const documentRoutes = {
  readOpenapi: {
    ...publicRoute,
    path: '/openapi.json',
    summary: 'This document',
    answers: { 200: { description: 'OpenAPI 3.1.', schema: z.looseObject({ openapi: z.string() }) } },
  },
  readAsyncapi: {
    ...publicRoute,
    path: '/asyncapi.json',
    summary: 'What travels on live connections',
    answers: { 200: { description: 'AsyncAPI 3.0.', schema: z.looseObject({ asyncapi: z.string() }) } },
  },
  readDocs: {
    ...publicRoute,
    path: '/docs',
    summary: 'This document as a page, to read and to try',
    answers: { 200: { description: 'The page.', type: 'text/html', schema: z.string() } },
  },
} as const satisfies Record<string, Route>;

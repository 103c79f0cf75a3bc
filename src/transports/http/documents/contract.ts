import { z } from 'zod';
import { defineFeature } from '../../../core/feature.ts';

const publicRoute = { method: 'GET', auth: 'none', refusals: [] } as const;

const clientFile = {
  ...publicRoute,
  description: `With the version, as in \`/client-0.1.0.js\`, the file may be cached for ever, and a page can name its hash in
\`integrity\`.`,
  answers: { 200: { description: 'The client library.', type: 'text/javascript', schema: z.string() } },
} as const;

/** The single files of the client library by extension. */
export const clientFiles = {
  js: { ...clientFile, path: '/client.js', summary: 'The client library for a `<script>`, as `nanoMessaging`' },
  mjs: { ...clientFile, path: '/client.mjs', summary: 'The client library as a module, for an `import`' },
} as const;

/** The routes of the API documents. They belong to the transport, which creates the documents from all contracts. */
export const documents = defineFeature('documents', {
  description: 'The documentation of the service: public, no token, no envelope.',
  rest: {
    readOpenapi: {
      ...publicRoute,
      path: '/openapi.json',
      summary: 'This document',
      answers: { 200: { description: 'OpenAPI 3.1.', schema: z.looseObject({ openapi: z.string() }) } },
    },
    readAdminOpenapi: {
      ...publicRoute,
      path: '/admin/openapi.json',
      summary: 'This document',
      answers: { 200: { description: 'OpenAPI 3.1.', schema: z.looseObject({ openapi: z.string() }) } },
    },
    readAsyncapi: {
      ...publicRoute,
      path: '/asyncapi.json',
      summary: 'The protocol of live connections (AsyncAPI)',
      answers: { 200: { description: 'AsyncAPI 3.0.', schema: z.looseObject({ asyncapi: z.string() }) } },
    },
    readDocs: {
      ...publicRoute,
      path: '/docs',
      summary: 'This document as a page, to read and to send requests',
      answers: { 200: { description: 'The page.', type: 'text/html', schema: z.string() } },
    },
  },
});

export const clientLibrary = defineFeature('client', {
  description: 'The client library for pages without a build step: public, no token, no envelope.',
  rest: { readClient: clientFiles.js, readClientModule: clientFiles.mjs },
});

/** The routes that belong to the transport, not to a feature. */
export const transportContracts = [documents, clientLibrary];

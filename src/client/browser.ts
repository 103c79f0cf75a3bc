/** Everything in one file, for pages without a build step. */
export * from './client.ts';
export * from './inbox.ts';
export * from './storage.ts';

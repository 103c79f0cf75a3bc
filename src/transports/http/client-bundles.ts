const bundle = {
  entry: 'src/client/browser.ts',
  directories: ['src/client/'],
};
const options = { minify: true, target: 'es2022' } as const;

/**
 * The single files of the client library, by extension. `file` is relative to `dist`. The build writes them; a server that
 * runs from its sources makes them itself.
 */
export const clientBundles = {
  js: {
    ...bundle,
    file: 'client/nano-messaging.js',
    options: { ...options, format: 'iife', globalName: 'nanoMessaging' },
  },
  mjs: { ...bundle, file: 'client/nano-messaging.mjs', options: { ...options, format: 'esm' } },
} as const;

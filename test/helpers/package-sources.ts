import { registerHooks } from 'node:module';

const sources: Record<string, string> = { 'nano-messaging/server': '../../src/sdk/sdk.ts' };

// For examples in a checkout, whose package has not been built: `node --import` this file.
registerHooks({
  resolve: (specifier, context, next) => {
    const source = sources[specifier];
    return next(source === undefined ? specifier : new URL(source, import.meta.url).href, context);
  },
});

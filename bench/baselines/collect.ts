/**
 * Loaded before a server whose memory is measured, with `--expose-gc`: SIGUSR2 throws away what nobody holds, and gives
 * back the pages that V8 keeps for a heap as large as it once was. A server that has just started holds some 100 MiB
 * of them, into which thousands of connections would grow and seem to cost nothing.
 */
process.on('SIGUSR2', () => globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' }));

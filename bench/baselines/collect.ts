/**
 * Loaded with `--expose-gc` before a server whose memory is measured. On SIGUSR2 it collects garbage and returns the
 * free pages of the heap to the system. Right after its start a server has some 100 MiB of such pages. Thousands of
 * connections would fit into them and seem to need no memory.
 */
process.on('SIGUSR2', () => globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' }));

/**
 * Loaded before a server that is profiled. SIGUSR1 starts the profile; SIGUSR2 ends it and writes it to BENCH_PROFILE.
 */
import { writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';

const session = new Session();
session.connect();
session.post('Profiler.enable');
session.post('Profiler.setSamplingInterval', { interval: 200 });

process.on('SIGUSR1', () => session.post('Profiler.start'));
process.on('SIGUSR2', () => {
  session.post('Profiler.stop', (_error, { profile }) =>
    writeFileSync(process.env.BENCH_PROFILE!, JSON.stringify(profile)),
  );
});

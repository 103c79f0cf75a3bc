/**
 * Loaded before a server whose event loop is watched. On SIGUSR1 it prints the longest time that the event loop computed
 * without a pause since the last report. This is processor time, so other programs of the machine do not affect it.
 */
const beatMs = 10;

let last = process.threadCpuUsage();
let longestUs = 0;

function beat(): void {
  const now = process.threadCpuUsage();
  longestUs = Math.max(longestUs, now.user + now.system - last.user - last.system);
  last = now;
}

setInterval(beat, beatMs).unref();

process.on('SIGUSR1', () => {
  beat();
  console.log(JSON.stringify({ stallMs: longestUs / 1_000 }));
  longestUs = 0;
});

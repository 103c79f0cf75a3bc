import { runCommand } from './process.ts';
import { adminToken, testSecret } from './users.ts';

/** Starts a node in its own process, with short timeouts, so that a test can kill it. */
export async function startKillableNode(settings: Record<string, string>) {
  const command = runCommand('../test/helpers/killable-node-process.ts', {
    ...{ PORT: 0, HOST: '127.0.0.1', JWT_SECRET: testSecret, ADMIN_TOKEN: adminToken },
    ...settings,
  });
  const url = await new Promise<string>((resolve, reject) => {
    command.outputListeners.add((output) => {
      const found = /^\{"url":"([^"]+)"\}$/m.exec(output)?.[1];
      if (found) resolve(found);
    });
    command.exited.then(({ code, output }) => reject(new Error(`The node ended with ${code}:\n${output}`)));
  });
  return {
    url,
    async kill(): Promise<void> {
      command.kill('SIGKILL');
      await command.exited;
    },
  };
}

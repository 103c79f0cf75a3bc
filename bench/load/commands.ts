import { WebSocket } from 'ws';
import { quantile, type Sample } from '../statistics.ts';

/** Makes the `n`-th command of a connection. */
export type MakeCommand = (n: number, connection: number) => Record<string, unknown>;

export interface CommandConnection {
  /** Sends a command and resolves when it is answered. Rejects if it is refused. */
  run(command: Record<string, unknown>): Promise<void>;
  close(): void;
}

/** Opens a `/chat` connection in a room. */
export function openCommandConnection(url: string, token: string, room: number): Promise<CommandConnection> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`${url.replace(/^http/, 'ws')}/chat`, { perMessageDeflate: false });
    let id = 0;
    let settle: { resolve: () => void; reject: (error: Error) => void } | undefined;
    const connection: CommandConnection = {
      run: (command) =>
        new Promise((resolve, reject) => {
          settle = { resolve, reject };
          socket.send(JSON.stringify({ ...command, id: ++id }));
        }),
      close: () => socket.terminate(),
    };
    socket.on('error', reject);
    socket.on('message', (data: Buffer) => {
      const frame = data.toString();
      if (frame.includes('"START?"')) {
        socket.send(JSON.stringify({ type: 'token', content: token }));
        socket.send(JSON.stringify({ type: 'select_room', room_id: room }));
      } else if (frame.includes('"CONNECTED"')) resolve(connection);
      else if (frame.includes(`"id":${id}`)) {
        if (/"(ERROR|NOTAUTHORIZED)"/.test(frame)) settle?.reject(new Error(frame));
        else settle?.resolve();
      }
    });
  });
}

/** Each connection sends the next command when the last one is answered. */
export async function closedCommandLoop(
  connections: readonly CommandConnection[],
  seconds: number,
  makeCommand: MakeCommand,
): Promise<Sample> {
  const startedAt = performance.now();
  const endAt = startedAt + seconds * 1_000;
  const durations: number[] = [];
  await Promise.all(
    connections.map(async (connection, index) => {
      for (let n = 0; performance.now() < endAt; n++) {
        const sentAt = performance.now();
        await connection.run(makeCommand(n, index));
        durations.push(performance.now() - sentAt);
      }
    }),
  );
  durations.sort((a, b) => a - b);
  return {
    requestsPerSecond: (durations.length * 1_000) / (performance.now() - startedAt),
    confirmP50Ms: quantile(durations, 0.5),
    confirmP99Ms: quantile(durations, 0.99),
    confirmMaxMs: durations.at(-1) ?? 0,
  };
}

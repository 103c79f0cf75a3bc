import { createServer as createHttpServer } from 'node:http';
import { expect } from 'chai';
import { createServer } from '../../src/index.ts';
import { closeLater } from '../helpers/cleanup.ts';
import { createClient } from '../helpers/client.ts';
import { freshDatabase } from '../helpers/postgres.ts';
import { createRoomWithOwner } from '../helpers/rooms.ts';
import { testSecret } from '../helpers/users.ts';

describe('the client of a service that is mounted under a path', function () {
  this.timeout(60_000);

  it('connects to a service under a path with each transport, and with the default transports', async () => {
    const server = createHttpServer((_request, response) => void response.writeHead(404).end());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closeLater(() => {
      server.closeAllConnections();
      server.close();
    });
    const settings = { DATABASE_URL: await freshDatabase(), JWT_SECRET: testSecret, LOG_LEVEL: 'silent' };
    const { url, close } = await createServer({ settings, server, prefix: '/in/messaging' });
    closeLater(close);
    const { owner, room } = await createRoomWithOwner(url);
    for (const transports of [['websocket'], ['polling'], undefined] as const) {
      const client = createClient(url, owner, transports && { transports: [...transports] });
      expect(await client.room(room.id).send('below').confirmed).to.include({ content: 'below' });
    }
  });
});

import type { IncomingMessage, ServerResponse } from 'node:http';
import react from '@vitejs/plugin-react';
import { createAdminClient, signToken, userUuid } from 'nano-messaging/server';
import { defineConfig, type Plugin, type ViteDevServer } from 'vite';

const { CHAT_URL: url = 'http://127.0.0.1:7777', JWT_SECRET = '', ADMIN_TOKEN = '' } = process.env;
const namespace = '0b0a5d3e-7d0f-4a53-9a1c-2f1a6a3c9d11';
const people = Object.fromEntries(['Ada', 'Ben', 'Cleo'].map((name) => [userUuid(namespace, name), name]));

async function createRooms(): Promise<void> {
  const { rooms } = createAdminClient({ url, token: ADMIN_TOKEN });
  const rules = Object.keys(people).map((userUUID) => ({ userUUID, permissions: 'rw' }));
  for (const name of ['Launch', 'Kitchen']) await rooms.put(`key:${name}`, { name, rules });
}

/** A real backend knows from its session who asks. */
async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const name = new URL(request.url ?? '', url).searchParams.get('name');
  const user = Object.keys(people).find((uuid) => people[uuid] === name);
  if (!user) return void response.writeHead(404).end();
  await createRooms();
  const token = await signToken({ userUUID: user }, JWT_SECRET);
  response.setHeader('Content-Type', 'application/json').end(JSON.stringify({ url, user, name, people, token }));
}

const serve = ({ middlewares }: Pick<ViteDevServer, 'middlewares'>) =>
  void middlewares.use('/api/session', (request, response, next) => void answer(request, response).catch(next));

/** Stands for your backend: it knows the users, creates rooms and signs tokens. */
const backend: Plugin = { name: 'backend', configureServer: serve, configurePreviewServer: serve };

export default defineConfig({ plugins: [react(), backend] });

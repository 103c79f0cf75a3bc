// The backend of a shop with a chat for every order: makes the rooms, reports what happens, notifies people.
// CHAT_URL, ADMIN_TOKEN, WEBHOOK_SECRET and CHAT_NAMESPACE as in the service; PUSH_URL receives { user, title, body, tag }.

import express from 'express';
import { createAdminClient, userUuid, verifyWebhook, WebhookVerificationError } from 'nano-messaging/server';

const { CHAT_URL, ADMIN_TOKEN, WEBHOOK_SECRET, CHAT_NAMESPACE, PUSH_URL, PORT = 3000 } = process.env;
const chat = createAdminClient({ url: CHAT_URL, token: ADMIN_TOKEN });
const uuid = (user) => userUuid(CHAT_NAMESPACE, user);
const app = express();

// 1. A room for an order. Called again, it changes nothing, so your checkout can repeat it.
async function openRoom({ id, title, people }) {
  const rules = people.map((user) => ({ userUUID: uuid(user), permissions: 'rw', accepted: true }));
  const { content } = await chat.rooms.put(`key:order-${id}`, { name: title, max_entity_rules: 50, rules });
  return content.room;
}

// 2. A message of the service itself. The id makes sure that it is stored once.
async function reportShipping(id) {
  const message = { content: 'Your order is on its way', client_msg_id: `shipped-${id}`, custom: { event: 'shipped' } };
  await chat.messages.send(`key:order-${id}`, { messages: [message] });
}

// 3. Push notifications: wait until those at the screen have read the message, then ask who has not.
const pushDelayMs = 3_000;
const maxAgeMs = 10 * 60_000; // after an outage, nobody wants a push for yesterday's messages

async function push(room, message) {
  let after;
  do {
    const { content, meta } = await chat.messages.recipients(room.id, message.seq, { after });
    for (const { user, mentioned } of content) {
      const title = mentioned ? `You were mentioned in ${room.name}` : room.name;
      const notification = { user, title, body: message.content, tag: `${room.id}-${message.seq}` };
      await fetch(PUSH_URL, { method: 'POST', body: JSON.stringify(notification) });
    }
    after = meta.next;
  } while (after);
}

function schedulePush(room, message) {
  if (Date.now() - Date.parse(message.createdAt) > maxAgeMs) return;
  setTimeout(() => push(room, message).catch((error) => console.error('no push:', error.message)), pushDelayMs);
}

// express.raw: the signature is that of the bytes, which express.json would lose. Keep this route before express.json.
const seen = new Set();
app.post('/webhooks', express.raw({ type: 'application/json', limit: '1mb' }), (request, response) => {
  const { data } = verifyWebhook(request.headers, request.body, WEBHOOK_SECRET);
  for (const { name, room, payload } of data.changes) {
    if (name !== 'message:new' || seen.has(payload.cursor)) continue;
    seen.add(payload.cursor); // a webhook may arrive twice
    if (seen.size > 10_000) seen.delete(seen.values().next().value);
    schedulePush(room, payload);
  }
  response.sendStatus(204); // at once: what takes longer than 15 s counts as failed
});

// 4. The text of an e-mail about everything that a user has not read. Run it for each user who wants one, once a day.
async function writeDigest(user) {
  const lines = [];
  let after;
  do {
    const { content, meta } = await chat.users.rooms(uuid(user), { inbox: true, after });
    for (const { name, unread, muted, last_message } of content) {
      if (unread > 0 && !muted) lines.push(`${unread} new in ${name}, the last: ${last_message.content}`);
    }
    after = meta.next;
  } while (after);
  return lines.join('\n');
}

// The events of your shop. In a real one, they are calls in your code, or routes that authenticate their callers.
app.use(express.json());
app.post('/orders', async (request, response) => response.json(await openRoom(request.body)));
app.post('/orders/:id/shipped', async (request, response) => {
  await reportShipping(request.params.id);
  response.sendStatus(204);
});
app.get('/digests/:user', async (request, response) =>
  response.type('text').send(await writeDigest(request.params.user)),
);

app.use((error, _request, response, _next) => {
  console.error(error.message);
  response.status(error instanceof WebhookVerificationError ? 401 : 500).send(error.message);
});
const server = app.listen(PORT, '127.0.0.1', () =>
  console.log(`listening on http://127.0.0.1:${server.address().port}`),
);

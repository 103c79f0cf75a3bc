/** A bare Express handler with the SELECT of a history page. It checks no rights and wraps nothing in an envelope. */
import express from 'express';
import pg from 'pg';
import { listening } from './plain-chat.ts';

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 });
const app = express();

app.get('/rooms/:id/messages', async (request, response) => {
  const { rows } = await pool.query({
    name: 'latest',
    text: `select m.room_id::float8 as room_id, m.id::float8 as id, m.seq::float8 as seq, m.emitter::text as emitter, content,
      client_msg_id, created_at, updated_at from messages m where m.room_id = $1 order by m.seq desc limit $2`,
    values: [request.params.id, request.query.limit],
  });
  response.json({ content: rows.reverse() });
});

const server = app.listen(0, '127.0.0.1', () => listening(server.address()));

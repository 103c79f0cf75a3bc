import { ChatError } from '../../core/errors.ts';
import type { RoomId } from '../../core/ids.ts';
import { ms } from '../../database/epoch-ms.ts';
import type { Statement, Store } from '../../database/store.ts';
import { toLeaseName } from './endpoint.ts';

type Query = Pick<Store, 'query'>;

/** Makes the dispatching node read the state of the endpoint again; see the migration of the webhooks. */
const notify = 'notified as (insert into touches (what, room_id) values (7, 0))';

const listStatement: Statement = {
  name: 'list_webhooks',
  text: `select w.name, ${ms('w.suspended_at')} as suspended, ${ms('w.failing_since')} as failing, w.last_error,
      (select l.holder from leases l where l.name = 'webhook:' || w.name and l.until > clock_timestamp()) as holder,
      (select count(*)::float8 from rooms r left join webhook_positions p on p.webhook = w.id and p.room_id = r.id
        where p.rev is null or p.rev < r.last_rev) as behind,
      (select count(*)::float8 from webhook_refusals f where f.webhook = w.id) as refused,
      (select count(*)::float8 from webhook_refusals f where f.webhook = w.id
        and f.since < clock_timestamp() - make_interval(secs => $1::float8 / 1000)) as parked,
      coalesce((select json_agg(json_build_object('room_id', f.room_id, 'attempts', f.attempts, 'since', ${ms('f.since')},
        'retry', ${ms('f.retry_at')}, 'error', f.error, 'parked', f.since < clock_timestamp() - make_interval(secs => $1::float8 / 1000)))
        from (select * from webhook_refusals x where x.webhook = w.id order by x.since, x.room_id limit 100) f), '[]') as rooms
    from webhooks w where $2::text is null or w.name = $2 order by w.name`,
};

const resumeStatement: Statement = {
  name: 'resume_webhook',
  writesJournal: true,
  text: `with resumed as (
      update webhooks set suspended_at = null, failing_since = null, last_error = null where name = $1 returning id
    ), ${notify}, cleared as (delete from webhook_refusals f using resumed where f.webhook = resumed.id)
    select id from resumed`,
};

const findStatement: Statement = {
  name: 'find_webhook',
  text: `select w.id::float8 as id, (select coalesce(max(r.id), 0)::float8 from rooms r) as "lastRoom" from webhooks w where w.name = $1`,
};

const before = (table: string, time: string) => `coalesce((
  select x.rev from ${table} x where x.room_id = r.id and x.rev > coalesce(p.rev, 0) and x.${time} < b.at
  order by x.rev desc limit 1), 0)`;

const skipStatement: Statement = {
  name: 'skip_webhook',
  text: `with b as (select to_timestamp($2::float8 / 1000) as at), skipped as (
      insert into webhook_positions as t (webhook, room_id, rev)
      select $1::int, r.id, case when r.last_change_at < b.at then r.last_rev else greatest(coalesce(p.rev, 0),
        ${before('messages', 'created_at')}, ${before('room_changes', 'at')}, ${before('log_entries', 'at')}) end
      from b cross join rooms r left join webhook_positions p on p.webhook = $1::int and p.room_id = r.id
      where r.id > $3::bigint and r.id <= $4::bigint and r.created_at < b.at and (p.rev is null or p.rev < r.last_rev)
      order by r.id
      on conflict (webhook, room_id) do update set rev = excluded.rev where t.rev < excluded.rev
      returning room_id
    )
    delete from webhook_refusals f using skipped s where f.webhook = $1::int and f.room_id = s.room_id`,
};

const skipDeletedStatement: Statement = {
  name: 'skip_webhook_deleted',
  writesJournal: true,
  text: `with ${notify}
    insert into webhook_positions (webhook, room_id, rev)
    select $1::int, e.room_id, -1 from events e where e.kind = 2 and e.at < to_timestamp($2::float8 / 1000)
    on conflict (webhook, room_id) do update set rev = -1`,
};

const redeliverStatement: Statement = {
  name: 'redeliver_webhook',
  writesJournal: true,
  text: `with w as (select id from webhooks where name = $1), moved as (
      update webhook_positions p set rev = $3::bigint - 1 from w
      where p.webhook = w.id and p.room_id = $2::bigint and p.rev >= $3::bigint returning p.room_id
    ), ${notify}, cleared as (
      delete from webhook_refusals f using w where f.webhook = w.id and f.room_id = $2::bigint returning 1
    )
    select (select count(*)::int from w) as known, (select count(*)::int from moved) + (select count(*)::int from cleared) as moved,
      (select count(*)::int from rooms where id = $2::bigint) as rooms,
      (select p.rev::float8 from webhook_positions p join w on p.webhook = w.id where p.room_id = $2::bigint) as position`,
};

const removeStatement: Statement = {
  name: 'remove_webhook',
  text: `with removed as (
      delete from webhooks w where w.name = $1 and not exists (
        select 1 from leases l where l.name = $2 and l.until > clock_timestamp()
      ) returning w.id
    ), positions as (delete from webhook_positions p using removed where p.webhook = removed.id),
    refusals as (delete from webhook_refusals f using removed where f.webhook = removed.id),
    lease as (delete from leases l using removed where l.name = $2)
    select (select count(*)::int from removed) as removed, (select count(*)::int from webhooks where name = $1) as known`,
};

export interface ListedWebhook {
  name: string;
  suspended: number | null;
  failing: number | null;
  last_error: string | null;
  holder: string | null;
  behind: number;
  refused: number;
  parked: number;
  rooms: { room_id: RoomId; attempts: number; since: number; retry: number; error: string; parked: boolean }[];
}

export const listWebhooks = (store: Query, parkAfterMs: number, name: string | undefined): Promise<ListedWebhook[]> =>
  store.query<ListedWebhook>(listStatement, [parkAfterMs, name ?? null]);

/** Delivers again to an endpoint that was suspended, and tries again the rooms that it has refused. */
export async function resumeWebhook(store: Query, name: string): Promise<void> {
  const rows = await store.query(resumeStatement, [name]);
  if (rows.length === 0) throw new ChatError('NOT_FOUND');
}

const roomsPerStatement = 20_000;

/** Moves all positions past the changes that are older than `date`. */
export async function skipBefore(store: Query, name: string, date: Date): Promise<void> {
  const [found] = await store.query<{ id: number; lastRoom: number }>(findStatement, [name]);
  if (!found) throw new ChatError('NOT_FOUND');
  const at = date.getTime();
  for (let from = 0; from < found.lastRoom; from += roomsPerStatement)
    await store.query(skipStatement, [found.id, at, from, from + roomsPerStatement]);
  await store.query(skipDeletedStatement, [found.id, at]);
}

/** Moves the position of a room back, so that the changes from `fromRev` on are delivered again. */
export async function redeliver(store: Query, name: string, room: RoomId, fromRev: number): Promise<void> {
  const [row] = await store.query<{ known: number; rooms: number; moved: number; position: number | null }>(
    redeliverStatement,
    [name, room, fromRev],
  );
  if (row!.known === 0) throw new ChatError('NOT_FOUND');
  if (row!.moved > 0) return;
  if (row!.rooms === 0) throw new ChatError('NOT_FOUND', { field: 'redeliver.room' });
  const message = `must be at most ${Math.max(0, row!.position ?? 0)}, the last rev of the room that was delivered`;
  throw new ChatError('BAD_REQUEST', { field: 'redeliver.from_rev', message });
}

/** Deletes a name with its positions, unless some node dispatches for it. */
export async function removeWebhook(store: Query, name: string): Promise<void> {
  const [row] = await store.query<{ removed: number; known: number }>(removeStatement, [name, toLeaseName(name)]);
  if (row!.removed > 0) return;
  if (row!.known === 0) throw new ChatError('NOT_FOUND');
  throw new ChatError('BAD_REQUEST', {
    field: 'name',
    message: `a node still delivers to ${name}: remove it from WEBHOOKS on all nodes first`,
  });
}

import type { RoomId } from '../../core/ids.ts';
import { ms } from '../../database/epoch-ms.ts';
import type { Statement, Store } from '../../database/store.ts';

type Query = Pick<Store, 'query'>;

/** What an endpoint has to receive of a room. Times are in ms since 1970, by the clock of the database. */
export interface RoomState {
  room_id: RoomId;
  /** Null if the room is new for the endpoint; -1 if the endpoint knows that the room was deleted. */
  position: number | null;
  /** The last `rev`; null if the room does not exist. */
  head: number | null;
  uuid: string | null;
  type: 'group' | 'user2user' | null;
  name: string | null;
  key: string | null;
  /** The body of the event, as JSON text, if it is due. */
  created: string | null;
  deleted: string | null;
  deleted_at: number | null;
  now: number;
}

export interface Move {
  room_id: RoomId;
  /** Null inserts the position. */
  before: number | null;
  after: number;
}

export interface EndpointRow {
  id: number;
  name: string;
  suspended: boolean;
}

export interface RefusalRow {
  room_id: RoomId;
  attempts: number;
  /** How long ago the first refusal was. */
  ageMs: number;
  /** The time until the next attempt; negative if it is due. */
  retryInMs: number;
}

/** A room that may be behind, and since when it has been. */
export interface RoomBehind {
  room_id: RoomId;
  ageMs: number;
}

const endpointStatement: Statement = {
  name: 'read_webhook',
  text: 'select id::float8 as id, name, suspended_at is not null as suspended from webhooks where name = $1',
};

const roomsStatement: Statement = {
  name: 'webhook_rooms',
  text: 'select o_room as room from webhook_rooms($1::int, $2::bigint[])',
};

const moveStatement: Statement = {
  name: 'move_webhook_positions',
  text: `select to_json(move_webhook_positions($1, $2::bigint, $3::int, $4::bigint[], $5::bigint[], $6::bigint[])) as moved`,
};

const lastRoomStatement: Statement = {
  name: 'last_room',
  text: 'select coalesce(max(id), 0)::float8 as id from rooms',
};

const behindStatement: Statement = {
  name: 'rooms_behind',
  text: `select r.id::float8 as room_id, ${ms('clock_timestamp()')} - ${ms(`case when p.rev is null then r.created_at else coalesce(
      (select m.created_at from messages m where m.room_id = r.id and m.rev = p.rev + 1),
      (select e.at from log_entries e where e.room_id = r.id and e.rev = p.rev + 1),
      (select c.at from room_changes c where c.room_id = r.id and c.rev = p.rev + 1),
      r.last_change_at) end`)} as "ageMs"
    from rooms r left join webhook_positions p on p.webhook = $1::int and p.room_id = r.id
    where r.id > $2::bigint and r.id <= $3::bigint and (p.rev is null or p.rev < r.last_rev)`,
};

const deletedStatement: Statement = {
  name: 'deleted_rooms_behind',
  text: `select e.room_id::float8 as room_id, ${ms('clock_timestamp()')} - ${ms('e.at')} as "ageMs" from events e
    where e.kind = 2 and not exists (
      select 1 from webhook_positions p where p.webhook = $1::int and p.room_id = e.room_id and p.rev = -1
    )`,
};

/** Removes the positions of deleted rooms whose events are no longer recorded. */
const tidyStatement: Statement = {
  name: 'tidy_webhook_positions',
  text: `delete from webhook_positions p where p.webhook = $1::int
    and not exists (select 1 from rooms r where r.id = p.room_id)
    and not exists (select 1 from events e where e.room_id = p.room_id)`,
};

const refusalsStatement: Statement = {
  name: 'webhook_refusals',
  text: `select room_id::float8 as room_id, attempts, ${ms('clock_timestamp()')} - ${ms('since')} as "ageMs",
    ${ms('retry_at')} - ${ms('clock_timestamp()')} as "retryInMs" from webhook_refusals where webhook = $1::int`,
};

const refuseStatement: Statement = {
  name: 'refuse_webhook_room',
  text: `insert into webhook_refusals as f (webhook, room_id, attempts, since, retry_at, error)
    select $1::int, $2::bigint, $3::int, clock_timestamp(), clock_timestamp() + make_interval(secs => $4::float8 / 1000), $5
    where exists (select 1 from leases where name = $6 and token = $7::bigint)
    on conflict (webhook, room_id) do update
      set attempts = excluded.attempts, retry_at = excluded.retry_at, error = excluded.error`,
};

const suspendStatement: Statement = {
  name: 'suspend_webhook',
  text: `update webhooks set suspended_at = clock_timestamp(), last_error = $2 where id = $1::int
    and exists (select 1 from leases where name = $3 and token = $4::bigint)`,
};

const failingStatement: Statement = {
  name: 'mark_webhook_failing',
  text: `update webhooks set last_error = $2::text,
    failing_since = case when $2::text is not null then coalesce(failing_since, clock_timestamp()) end where id = $1::int`,
};

const forgetStatement: Statement = {
  name: 'forget_events',
  text: 'select forget_events()',
};

/** Rooms per page of a comparison. A page is one snapshot; long ones would keep PostgreSQL from removing old rows. */
const pageSize = 50_000;

/**
 * Inserts the name and a position for each existing room, unless the name is known. The positions are inserted page by
 * page, in one transaction: one statement for a million rooms could take longer than a statement may take, and then no node
 * could start. A room that changes or is created meanwhile is behind afterwards, so nothing is missing.
 */
export async function registerEndpoint(
  store: Query & Pick<Store, 'transaction'>,
  name: string,
  rooms = pageSize,
): Promise<EndpointRow> {
  const known = await readEndpoint(store, name);
  if (known) return known;
  await store.transaction(async (em) => {
    const [made] = await em.execute<{ id: number }[]>(
      'insert into webhooks (name, created_at) values (?, clock_timestamp()) on conflict do nothing returning id',
      [name],
    );
    // Another node has just registered the name.
    if (!made) return;
    await em.execute(
      'insert into webhook_positions (webhook, room_id, rev) select ?::int, e.room_id, -1 from events e where e.kind = 2',
      [made.id],
    );
    const [last] = await em.execute<{ id: number }[]>(lastRoomStatement.text);
    for (let from = 0; from < last!.id; from += rooms) {
      await em.execute(
        `insert into webhook_positions (webhook, room_id, rev)
         select ?::int, r.id, r.last_rev from rooms r where r.id > ?::bigint and r.id <= ?::bigint`,
        [made.id, from, from + rooms],
      );
    }
  });
  return (await readEndpoint(store, name))!;
}

export async function readEndpoint(store: Query, name: string): Promise<EndpointRow | undefined> {
  const [row] = await store.query<EndpointRow>(endpointStatement, [name]);
  return row;
}

export async function readRooms(store: Query, webhook: number, rooms: readonly RoomId[]): Promise<RoomState[]> {
  const rows = await store.query<{ room: RoomState }>(roomsStatement, [webhook, rooms]);
  return rows.map(({ room }) => room);
}

/** The lease whose holder may write, and its token. */
export interface Fence {
  lease: string;
  token: string;
}

/**
 * Moves positions in one statement. Returns the rooms whose positions were as expected, or undefined if the lease has
 * another holder. In that case, nothing was written.
 */
export async function movePositions(
  store: Query,
  { lease, token }: Fence,
  webhook: number,
  moves: readonly Move[],
): Promise<Set<RoomId> | undefined> {
  const [row] = await store.query<{ moved: RoomId[] | null }>(moveStatement, [
    ...[lease, token, webhook],
    ...[moves.map(({ room_id }) => room_id), moves.map(({ before }) => before), moves.map(({ after }) => after)],
  ]);
  return row!.moved === null ? undefined : new Set(row!.moved);
}

/** Compares the positions with the logs of all rooms, and calls `onPage` with the rooms that are behind. */
export async function findRoomsBehind(
  store: Query,
  webhook: number,
  onPage: (rooms: readonly RoomBehind[]) => boolean,
): Promise<void> {
  const [last] = await store.query<{ id: number }>(lastRoomStatement, []);
  for (let from = 0; from < last!.id; from += pageSize) {
    if (!onPage(await store.query<RoomBehind>(behindStatement, [webhook, from, from + pageSize]))) return;
  }
  onPage(await store.query<RoomBehind>(deletedStatement, [webhook]));
  await store.query(tidyStatement, [webhook]);
}

export const readRefusals = (store: Query, webhook: number): Promise<RefusalRow[]> =>
  store.query<RefusalRow>(refusalsStatement, [webhook]);

interface Refusal {
  room_id: RoomId;
  attempts: number;
  retryInMs: number;
  error: string;
}

export async function writeRefusal(
  store: Query,
  { lease, token }: Fence,
  webhook: number,
  { room_id, attempts, retryInMs, error }: Refusal,
): Promise<void> {
  await store.query(refuseStatement, [webhook, room_id, attempts, retryInMs, error, lease, token]);
}

export async function suspendEndpoint(store: Query, { lease, token }: Fence, webhook: number, error: string) {
  await store.query(suspendStatement, [webhook, error, lease, token]);
}

/** Records since when the endpoint fails, and why; null means that it answers. */
export async function markFailing(store: Query, webhook: number, error: string | null): Promise<void> {
  await store.query(failingStatement, [webhook, error]);
}

export async function forgetEvents(store: Query): Promise<void> {
  await store.query(forgetStatement, []);
}

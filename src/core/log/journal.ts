import type { Statement, Store } from '../../database/store.ts';
import type { RoomId, Uuid } from '../ids.ts';

/** The columns of `touches` that a poll reads; see the migration of the journal. */
export type Touch = [what: number, room: RoomId, grantee: Uuid | null];

export const touchKinds = { deleted: 4, rule: 5, webhooks: 7 } as const;

interface PollRow {
  snapshot: string;
  epoch: string | null;
  touches: Touch[] | null;
}

const pollStatement: Statement = {
  name: 'poll_touches',
  text: `select pg_current_snapshot()::text as snapshot, (select id::text from touches_epoch limit 1) as epoch,
    case when $1::text is not null then (
      select json_agg(json_build_array(t.o_what, t.o_room, t.o_grantee)) from touches_since($1::text::pg_snapshot) t
    ) end as touches`,
};

const beginEpochStatement: Statement = {
  name: 'begin_touches_epoch',
  text: 'select begin_touches_epoch()',
};

const forgetStatement: Statement = {
  name: 'forget_touches',
  text: `select pg_current_snapshot()::text as snapshot, (select id::text from touches_epoch limit 1) as epoch,
    case when $1::text is not null then forget_touches($1::text::pg_snapshot, $2::uuid) end as forgotten,
    (select n_live_tup::float8 from pg_stat_user_tables where relid = 'touches'::regclass) as rows`,
};

/**
 * Other nodes delete rows that are older than 60 s. If the previous poll is older than this, some rows may already be
 * deleted.
 */
const maxPollAgeMs = 45_000;

export interface Poll {
  touches: readonly Touch[];
  /** Whether changes since the previous poll may be missing. In that case, everything has to be read again. */
  hasGap: boolean;
  /**
   * When the previous poll began, in ms as returned by `performance.now()`. The changes of this poll were committed
   * later.
   */
  since: number;
}

/** Reads what was committed since the previous poll: each change once, in whatever order the transactions committed. */
export class JournalReader {
  readonly #store: Pick<Store, 'query'>;
  #last: { snapshot: string; epoch: string | null; at: number } | undefined;

  constructor(store: Pick<Store, 'query'>) {
    this.#store = store;
  }

  /** Makes the next poll a new start: it finds no changes, and later polls find only what was committed after it. */
  reset(): void {
    this.#last = undefined;
  }

  async poll(): Promise<Poll> {
    const last = this.#last;
    const at = performance.now();
    let row = await this.#read(last?.snapshot);
    if (row.epoch === null) {
      await this.#store.query(beginEpochStatement, []);
      row = await this.#read(last?.snapshot);
    }
    this.#last = { snapshot: row.snapshot, epoch: row.epoch, at };
    if (!last) return { touches: [], hasGap: false, since: at };
    const hasGap =
      row.epoch !== last.epoch ||
      performance.now() - last.at > maxPollAgeMs ||
      parseXmax(row.snapshot) < parseXmax(last.snapshot);
    return { touches: row.touches ?? [], hasGap, since: last.at };
  }

  async #read(before: string | undefined): Promise<PollRow> {
    const [row] = await this.#store.query<PollRow>(pollStatement, [before ?? null]);
    return row!;
  }
}

const parseXmax = (snapshot: string) => BigInt(snapshot.split(':')[1]!);

/**
 * Deletes the rows that every node has seen. Every node calls this regularly, with at least 60 s between two calls. If
 * a row is older than the snapshot of the previous call, every poll since then has found it.
 */
export function createJournalCleanup(store: Pick<Store, 'query'>) {
  let last: { snapshot: string; epoch: string | null } | undefined;
  let rows = 0;
  return {
    get rows() {
      return rows;
    },
    async run(): Promise<void> {
      const [row] = await store.query<{ snapshot: string; epoch: string | null; rows: number | null }>(
        forgetStatement,
        [last?.snapshot ?? null, last?.epoch ?? null],
      );
      last = row;
      rows = row!.rows ?? 0;
    },
  };
}

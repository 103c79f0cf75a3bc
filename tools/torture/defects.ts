// cspell:ignore functiondef regprocedure
import type { Rule } from './record.ts';
import { withDatabase } from './room-history.ts';

const alwaysTrue = 'true';

interface Definition {
  rule: Rule;
  /** SQL that breaks the rule in the database. A defect without it is in the nodes. */
  sql?: string;
}

/** Deliberate defects, which the oracle has to find. Those without SQL are in `node-defects.ts`. */
export const defects = {
  delivery: { rule: 'delivery' },
  log: { rule: 'log', sql: onWrite('insert', 'log_entries', `new.at := new.at - interval '1 s';`) },
  storage: {
    rule: 'storage',
    sql: onWrite('insert', 'messages', 'if new.seq % 10 = 0 then new.flags := 1; end if;'),
  },
  values: {
    rule: 'values',
    sql: onWrite(
      'update',
      'messages',
      `if new.content <> old.content and new.deleted_at is null then new.content := old.content; end if;`,
    ),
  },
  convergence: {
    rule: 'convergence',
    sql: inFunction('message_reactions(bigint, bigint, uuid)', 'order by c.first_rev, c.first_n', 'order by c.emoji'),
  },
  erasure: {
    rule: 'erasure',
    sql: `create table attic (content text); ${onWrite('update', 'messages', 'insert into attic values (old.content);')}`,
  },
  base: {
    rule: 'base',
    sql: inFunction(
      'apply_operations(jsonb)',
      `(v_op ->> 'base')::bigint <> coalesce(v_message.version, v_message.rev)`,
      'false',
    ),
  },
  rights: {
    rule: 'rights',
    sql: inFunction('apply_operations(jsonb)', `(v_op ->> 'can_write')::boolean`, alwaysTrue),
  },
  reactions: { rule: 'reactions', sql: onWrite('insert', 'reactions', 'if random() < 0.1 then return null; end if;') },
  positions: {
    rule: 'positions',
    sql: onWrite(
      'update',
      'positions',
      'if random() < 0.3 then new.read_seq := greatest(old.read_seq - 3, 0); end if;',
    ),
  },
  // Others see a mark that moved back.
  receipts: { rule: 'receipts', sql: inWritePositions('greatest(s.receipt_seq, n.seq)', 'n.seq') },
  // Each inbox shows the settings of another room.
  settings: {
    rule: 'settings',
    sql: inItems('coalesce(s.muted, false)', 'coalesce(s.muted, false) <> (r.id % 2 = 0)'),
  },
  inbox: {
    rule: 'inbox',
    sql: onWrite('insert', 'touches', 'if new.what = 1 and new.room_id % 2 = 0 then return null; end if;'),
  },
  // A transaction that was under way at the previous look is never found.
  'inbox-long': {
    rule: 'inbox',
    sql: inFunction('touches_since(pg_snapshot)', 'any(array(select pg_snapshot_xip(p_before)))', `any('{}'::xid8[])`),
  },
  'inbox-late': { rule: 'inbox' },
  'inbox-rights': { rule: 'inbox-rights', sql: inItems(`'permissions', p.permissions`, `'permissions', 'rw'`) },
  webhooks: {
    rule: 'webhooks',
    sql: onWrite('update', 'webhook_positions', 'if random() < 0.05 then new.rev := new.rev + 1; end if;'),
  },
  // The rules and messages of deleted rooms are not removed.
  deletion: { rule: 'deletion', sql: onWrite('insert', 'deleted_rooms', 'new.step := 2;') },
  typing: { rule: 'typing' },
  presence: { rule: 'presence' },
} satisfies Record<string, Definition>;

export type Defect = keyof typeof defects;
export const defectNames = Object.keys(defects) as Defect[];

export async function installDefect(url: string, defect: Defect): Promise<void> {
  const { sql }: Definition = defects[defect];
  if (sql) await withDatabase(url, (database) => database.query(sql));
}

function inItems(part: string, replacement: string): string {
  const signature = 'inbox_items(bigint[], bigint[], bigint[], integer[], integer[], uuid[], uuid[], bigint[])';
  return inFunction(signature, part, replacement);
}

function inWritePositions(part: string, replacement: string): string {
  const signature =
    'write_positions(bigint[], uuid[], uuid[], int[], bigint[], boolean[], boolean[], boolean[], boolean[], bigint[])';
  return inFunction(signature, part, replacement);
}

function onWrite(event: 'insert' | 'update', table: string, statements: string): string {
  return `create function spoil() returns trigger language plpgsql as $spoil$ begin ${statements} return new; end $spoil$;
    create trigger spoil before ${event} on ${table} for each row execute function spoil();`;
}

/** Replaces a part of a function. It has to contain that part, so that no defect is without effect. */
function inFunction(signature: string, part: string, replacement: string): string {
  const [from, to] = [part, replacement].map((text) => `$part$${text}$part$`);
  return `do $do$
    declare
      v_text text := pg_get_functiondef('${signature}'::regprocedure);
    begin
      assert position(${from} in v_text) > 0, 'the function does not contain this part';
      execute replace(v_text, ${from}, ${to});
    end $do$;`;
}

// cspell:ignore functiondef regprocedure
import type { Rule } from './record.ts';
import { withDatabase } from './room-history.ts';

const alwaysTrue = 'true';

/**
 * Deliberate defects, which the oracle has to find: for each rule, SQL that breaks it in the database. The rules `delivery`,
 * `typing` and `protocol` are about what nodes send; without reconciliation (`--set SWEEP_SECONDS=3600`), `delivery` is broken.
 */
export const defects: { [R in Exclude<Rule, 'delivery' | 'typing' | 'protocol'>]: string } = {
  log: onWrite('insert', 'log_entries', `new.at := new.at - interval '1 s';`),
  storage: onWrite('insert', 'messages', 'if new.seq % 10 = 0 then new.flags := 1; end if;'),
  values: onWrite(
    'update',
    'messages',
    `if new.content <> old.content and new.deleted_at is null then new.content := old.content; end if;`,
  ),
  convergence: inFunction(
    'message_reactions(bigint, bigint, uuid)',
    'order by c.first_rev, c.first_n',
    'order by c.emoji',
  ),
  erasure: `create table attic (content text); ${onWrite('update', 'messages', 'insert into attic values (old.content);')}`,
  base: inFunction(
    'apply_operations(jsonb)',
    `(v_op ->> 'base')::bigint <> coalesce(v_message.version, v_message.rev)`,
    'false',
  ),
  rights: inFunction('apply_operations(jsonb)', `(v_op ->> 'can_write')::boolean`, alwaysTrue),
  reactions: onWrite('insert', 'reactions', 'if random() < 0.1 then return null; end if;'),
  positions: onWrite(
    'update',
    'positions',
    'if random() < 0.3 then new.read_seq := greatest(old.read_seq - 3, 0); end if;',
  ),
  inbox: onWrite('insert', 'touches', 'if new.what = 1 and new.room_id % 2 = 0 then return null; end if;'),
  'inbox-rights': inFunction(
    'inbox_items(bigint[], integer[], integer[], uuid[], integer[], integer[], uuid[], uuid[])',
    `'permissions', p.permissions`,
    `'permissions', 'rw'`,
  ),
};

export type Defect = keyof typeof defects;
export const defectNames = Object.keys(defects) as Defect[];

export async function installDefect(url: string, defect: Defect): Promise<void> {
  await withDatabase(url, (database) => database.query(defects[defect]));
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

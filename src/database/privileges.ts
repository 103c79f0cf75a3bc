import type { Client } from 'pg';
import type { InspectedDatabase } from './inspect-database.ts';
import { UnsuitableDatabase } from './unsuitable-database.ts';

const missingPrivileges = `
  with relation as (
    select c.oid, c.relname, c.relkind from pg_class c where c.relnamespace = (select oid from pg_namespace where nspname = $1)
      and c.relname in ('rooms', 'permission_rules', 'messages', 'room_changes', 'revocations', 'service_identity',
        'mikro_orm_migrations', 'rooms_id_seq', 'messages_id_seq', 'revocations_id_seq')
  )
  select format('%s on %s', lower(privilege), relname) as missing
    from relation, unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) as p(privilege)
    where relkind in ('r', 'p') and (relname <> 'mikro_orm_migrations' or privilege = 'SELECT')
      and not has_table_privilege(oid, privilege)
  union all
  select format('usage on %s', relname) from relation
    where case when relkind = 'S' then not has_sequence_privilege(oid, 'USAGE') else false end
  union all
  select format('execute on %s', p.proname) from pg_proc p where p.pronamespace = (select oid from pg_namespace where nspname = $1)
    and p.proname in ('append_messages', 'append_straight', 'accept_invitations', 'seq_at') and not has_function_privilege(p.oid, 'EXECUTE')`;

/** An account that owns nothing can do the work of a node with these privileges. Throws, with the grants, if it lacks any. */
export async function checkPrivileges(client: Client, { schema, account }: InspectedDatabase): Promise<void> {
  const { rows } = await client.query<{ missing: string }>(missingPrivileges, [schema]);
  if (rows.length === 0) return;
  const missing = rows.map((row) => row.missing).join(', ');
  const [place, grantee] = [`in schema "${schema}"`, `to "${account}"`];
  throw new UnsuitableDatabase(
    `The account "${account}" lacks privileges: ${missing}. As the owner of the tables, run: ` +
      `grant select, insert, update, delete on all tables ${place} ${grantee}; ` +
      `grant usage on all sequences ${place} ${grantee}; grant execute on all functions ${place} ${grantee};`,
  );
}

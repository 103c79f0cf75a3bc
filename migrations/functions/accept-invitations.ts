import { useIndexes } from './planner-settings.ts';
import { lockRooms } from './sql-fragments.ts';

interface Options {
  /** Whether `room_changes.actor` records who has accepted. */
  recordsActor?: boolean;
  /** Whether rules of a deleted room may still exist. They are no invitations. */
  outliveRooms?: boolean;
}

/** The function of `Migration20261128023000_accept_invitations`, whose comment describes it. */
export function createAcceptInvitations({ recordsActor = false, outliveRooms = false }: Options = {}): string {
  const [actorColumn, actorValue] = recordsActor ? [', actor', ', a.grantee'] : ['', ''];
  const room = outliveRooms ? 'r.id' : 'i.room_id';
  return `
create or replace function accept_invitations(p_room bigint[], p_grantee uuid[], p_entity uuid[], p_judged bigint[])
returns table (o_ord bigint, o_outcome text, o_rev bigint, o_at timestamptz)
language plpgsql set lock_timeout = '50ms' set plan_cache_mode = force_generic_plan
  ${useIndexes} as $$
declare
  v_now timestamptz;
  v_locked bigint[];
  v_others bigint[];
begin
  ${lockRooms('p_room')}
  v_now := date_trunc('milliseconds', clock_timestamp());
  return query
  with item as materialized (
    select i.*, r.id is not null and not i.room_id = any(coalesce(v_locked, '{}')) as busy, r.rights_rev, r.last_rev,
           greatest(v_now, r.last_change_at) as at, p.kind, p.permissions, p.level,
           p.room_id is not null and p.accepted is null as open
    from unnest(p_room, p_grantee, p_entity, p_judged) with ordinality as i(room_id, grantee, entity, judged, ord)
    left join rooms r on r.id = i.room_id
    left join permission_rules p on p.room_id = ${room} and p.grantee = i.grantee
  ), since as materialized (
    select c.room_id, c.rev, case when c.kind = 'member' then (c.body ->> 'entity_UUID')::uuid end as grantee
    from (select i.room_id, min(i.judged) as judged from item i where i.rights_rev > i.judged group by i.room_id) j
    join room_changes c on c.room_id = j.room_id and c.rev > j.judged
  ), accepted as materialized (
    select i.*, i.last_rev + row_number() over (partition by i.room_id order by i.ord) as rev
    from item i
    where i.open and not i.busy and not exists (
      select 1 from since s
      where s.room_id = i.room_id and s.rev > i.judged and (s.grantee is null or s.grantee = i.grantee or s.grantee = i.entity)
    )
  ), answered as (
    update permission_rules p set accepted = true, updated_at = a.at
    from accepted a where p.room_id = a.room_id and p.grantee = a.grantee
  ), logged as (
    insert into room_changes (room_id, rev, kind, body, at${actorColumn})
    select a.room_id, a.rev, 'member', jsonb_build_object('entity_UUID', a.grantee, 'kind', a.kind,
      'permissions', a.permissions, 'level', a.level, 'accepted', true), a.at${actorValue}
    from accepted a
  ), moved as (
    update rooms r set last_rev = c.rev, rights_rev = c.rev, last_change_at = c.at
    from (select a.room_id, max(a.rev) as rev, max(a.at) as at from accepted a group by a.room_id) c
    where r.id = c.room_id
  )
  select i.ord, case when a.ord is not null then 'accepted' when i.busy then 'busy' else 'changed' end, a.rev, a.at
  from item i left join accepted a on a.ord = i.ord
  order by i.ord;
end $$;`;
}

import { useIndexesInOrder } from './planner-settings.ts';
import { ms } from './sql-fragments.ts';

const everybody = `'00000000-0000-0000-0000-000000000000'::uuid`;
const isLoudMention = `m.deleted_at is null and coalesce(m.flags, 0) & 1 = 0`;
/** The users and organisations whose rules and mentions the node does not know. */
const newGrantees = `select g.grantee
          from unnest(p_users[w.first : w.last], p_entities[w.first : w.last], p_versions[w.first : w.last])
            as u(user_uuid, entity, version)
          cross join lateral (values (u.user_uuid), (u.entity)) g(grantee)
          where g.grantee is not null and (k.since is null or u.version is null)`;

/** The function of `Migration20261128160500_crowd_items`, whose comment describes it. */
export const inboxItems = `
create or replace function inbox_items(
  p_rooms bigint[], p_known_seqs bigint[], p_known_stamps bigint[], p_from int[], p_to int[],
  p_users uuid[], p_entities uuid[], p_versions bigint[]
) returns table (o_room json)
language plpgsql stable set plan_cache_mode = force_generic_plan ${useIndexesInOrder} as $$
begin
  return query
  select json_build_object('id', r.id, 'uuid', r.uuid, 'name', r.name, 'type', r.type, 'level_admin', r.level_admin,
    'user_owner', r.user_owner, 'entity_owner', r.entity_owner, 'max_entity_rules', r.max_entity_rules,
    'last_seq', r.last_seq, 'created', ${ms('r.created_at')}, 'updated', ${ms('r.updated_at')}, 'custom', c.custom,
    'receipts', r.receipts, 'readers_react', r.readers_react, 'active', ${ms('coalesce(r.active_at, r.last_change_at)')},
    'stamp', k.stamp, 'since', k.since, 'is_crowd', k.is_crowd,
    'rules', case when k.has_new then (
      select json_agg(json_build_object('entity_UUID', p.grantee, 'kind', p.kind, 'permissions', p.permissions,
        'level', p.level, 'accepted', p.accepted, 'created', ${ms('p.created_at')}, 'updated', ${ms('p.updated_at')}))
      from (select distinct x.grantee from (${newGrantees}) x) g
      join permission_rules p on p.room_id = r.id and p.grantee = g.grantee
    ) end,
    'last', (
      select json_build_object('seq', m.seq, 'emitter', m.emitter, 'content', left(m.content, 256),
        'custom', case when octet_length(m.custom) <= 1024 then m.custom end, 'at', ${ms('m.created_at')},
        'updated', ${ms('m.updated_at')}, 'edited', ${ms('m.edited_at')})
      from messages m
      where m.room_id = r.id and m.seq > r.last_seq - 200 and is_counted(m)
      order by m.seq desc limit 1
    ),
    'recent', n.recent,
    'mentioning', n.mentioning,
    'mentions', case when k.is_crowd and k.has_new then (
      select json_agg(json_build_array(g.grantee, n.seq, m.emitter) order by n.seq)
      from (select distinct x.grantee from (${newGrantees} union all select ${everybody}) x) g
      cross join lateral (
        select x.seq from mentions x where x.room_id = r.id and x.grantee = g.grantee order by x.seq desc limit 100
      ) n
      cross join lateral (
        select m.emitter from messages m where m.room_id = r.id and m.seq = n.seq and ${isLoudMention} offset 0
      ) m
    ) end,
    'people', (
      select json_agg(json_build_array(u.n, f.seq, coalesce(s.version, 0), coalesce(s.muted, false), s.hidden_seq,
        case when not k.is_crowd then (select a.count from unread_after(r.id, r.last_seq, f.seq, u.user_uuid) a) end,
        case when not k.is_crowd and s.hidden_seq is not null
          then (select a.count from unread_after(r.id, r.last_seq, s.hidden_seq, u.user_uuid) a) end,
        case when not k.is_crowd
          then (select a.count from mentions_after(r.id, r.last_seq, f.seq, u.user_uuid, u.entity) a) end,
        s.read_seq is not null or f.seq < r.last_seq
          and exists (select from users_seen x where x.user_uuid = u.user_uuid)))
      from unnest(p_users[w.first : w.last], p_entities[w.first : w.last], p_versions[w.first : w.last])
        with ordinality as u(user_uuid, entity, version, n)
      left join positions s on s.room_id = r.id and s.user_uuid = u.user_uuid
      cross join lateral (select coalesce(s.read_seq, (
        select p.seq from initial_position(r.id, r.last_seq, r.last_change_at, r.imported_seq, u.user_uuid, u.entity,
          n.times) p
      )) as seq offset 0) f
      where k.since is null or coalesce(s.version, 0) is distinct from u.version
    ))
  from unnest(p_rooms, p_known_seqs, p_known_stamps, p_from, p_to) as w(id, known_seq, known_stamp, first, last)
  join rooms r on r.id = w.id
  left join room_custom c on c.room_id = r.id
  cross join lateral (
    select x.*, x.since is not null or w.last - w.first >= 8 as is_crowd,
      x.since is null or array_position(p_versions[w.first : w.last], null) is not null as has_new
    from (
      select r.last_rev - r.last_seq + coalesce(r.imported_seq, 0) as stamp,
        case when w.known_stamp = r.last_rev - r.last_seq + coalesce(r.imported_seq, 0)
          and w.known_seq between r.last_seq - 500 and r.last_seq then w.known_seq end as since
      offset 0
    ) x
  ) k
  cross join lateral (
    select json_agg(json_build_array(m.seq, m.emitter) order by m.seq) filter (where is_counted(m)) as recent,
      array_agg(m.created_at order by m.seq) filter (where k.since is null) as times,
      json_agg(json_build_array(m.seq, m.emitter, m.mentions, coalesce(m.flags, 0) & 2 <> 0) order by m.seq) filter (
        where k.since is not null and (m.mentions is not null or coalesce(m.flags, 0) & 2 <> 0) and ${isLoudMention}
      ) as mentioning
    from messages m
    where k.is_crowd and m.room_id = r.id and m.seq > coalesce(k.since, r.last_seq - 500)
  ) n;
end $$;`;

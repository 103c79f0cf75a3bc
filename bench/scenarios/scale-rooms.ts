import type { Service } from '../contenders.ts';

/** Inserts rooms that are open to the owner's organisation, without a request for each. */
export async function insertRooms(ours: Service, count: number): Promise<number[]> {
  const { rows } = await ours.query(`with made as (
      insert into rooms (uuid, name, type, level_admin, user_owner, max_entity_rules, last_change_at, created_at, updated_at)
      select gen_random_uuid(), 'a room', 'group', 1000, gen_random_uuid(), 100, now(), now(), now()
      from generate_series(1, ${count}) returning id
    ), ruled as (
      insert into permission_rules (room_id, grantee, kind, permissions, level, accepted, created_at, updated_at)
      select id, '${ours.owner.entity}', 'entity', 'rw', 0, true, now(), now() from made
    )
    select id::float8 as id from made`);
  await ours.query('vacuum analyze rooms, permission_rules');
  return rows.map(({ id }) => id as number);
}
